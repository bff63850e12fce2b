//! A container's link to its network, and the record by which it is taken away again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::effect::{Failure, RunSpecification};
use crate::domain::network::link_address;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::LinuxHost;
use crate::effects::{Host as _, Observation};
use crate::events::Lease;
use crate::shim::protocol::{SPEC_FILE, Spec};
use crate::shim::record;
use crate::types::{ContainerId, NetworkId, Subnet};

/// The container's link on the host, to be taken away when it stops.
const LINK_FILE: &str = "link.json";

#[derive(Serialize, Deserialize)]
struct Link {
    lease: Lease,
    port: String,
}

impl LinuxHost {
    pub(in crate::effects::linux) fn ensure_link(
        &self,
        run: &RunSpecification,
        directory: &Path,
    ) -> Result<(), Failure> {
        let Some(lease) = &run.lease else { return Ok(()) };
        let port = self.networks.port_name(run.container);
        let link = Link { lease: lease.clone(), port: port.clone() };
        record::write(directory, LINK_FILE, &link).map_err(cannot("write", directory.display()))?;
        let init = self.starting(run.container, |starting| starting.init())?;
        for warning in self.networks.ensure_link(lease, init.pid.unsigned_abs(), &port)? {
            tracing::warn!(container = %run.container, warning);
        }
        Ok(())
    }

    pub(in crate::effects::linux) fn remove_link(&self, container: ContainerId) -> Result<(), Failure> {
        match record::read::<Link>(&self.runtime_of(container), LINK_FILE) {
            Ok(None) => Ok(()),
            Ok(Some(link)) => self.networks.ensure_link_gone(&link.lease, &link.port),
            // Its lease stays in the filter rules until the next start, for a port that is not there.
            Err(error) => {
                tracing::warn!(%container, %error, "the record of its link is damaged; the link goes by its name");
                self.networks.ensure_port_gone(&self.networks.port_name(container))
            }
        }
    }

    /// Connects the running containers of a network again: with their bridge their ports were lost, with its rules their
    /// leases. One that ends meanwhile is nobody's loss.
    ///
    /// # Errors
    /// Nobody can tell which run.
    pub(in crate::effects::linux) fn ensure_ports(
        &self,
        network: NetworkId,
        bridge: &str,
        subnet: Subnet,
    ) -> Result<(), Failure> {
        for (container, link) in self.links_of(network, bridge, subnet)? {
            let Observation::Running { init, .. } = self.look(container) else { continue };
            match self.networks.ensure_link(&link.lease, init.pid, &link.port) {
                Ok(warnings) => {
                    for words in warnings {
                        tracing::warn!(%container, words);
                    }
                }
                Err(failure) => tracing::warn!(%container, %failure, "not connected again"),
            }
        }
        Ok(())
    }

    /// Names what is missing of a network on this host, the ports of running containers among it.
    ///
    /// # Errors
    /// What the kernel or nft says.
    pub fn missing_of_network(
        &self,
        network: NetworkId,
        bridge: &str,
        subnet: Subnet,
        rules: bool,
    ) -> Result<Vec<String>, Failure> {
        let running = |container| matches!(self.look(container), Observation::Running { .. });
        let links = self.links_of(network, bridge, subnet)?.into_iter().filter(|(container, _)| running(*container));
        let (containers, ports): (Vec<ContainerId>, Vec<String>) =
            links.map(|(container, link)| (container, link.port)).unzip();
        let missing = self.networks.missing(network, bridge, subnet, &ports, rules)?;
        // A port goes with its container, which may have ended since.
        let ended = |thing: &String| {
            let port = ports.iter().position(|port| thing.ends_with(port.as_str()));
            port.is_some_and(|index| !running(containers[index]))
        };
        Ok(missing.into_iter().filter(|thing| !ended(thing)).collect())
    }

    /// Says what of the host stands in the way of a network, each with what helps.
    ///
    /// # Errors
    /// What the kernel or nft says.
    pub fn shortcomings_of_network(&self, bridge: &str, subnet: Subnet) -> Result<Vec<String>, Failure> {
        self.networks.shortcomings(bridge, subnet)
    }

    fn links_of(&self, network: NetworkId, bridge: &str, subnet: Subnet) -> Result<Vec<(ContainerId, Link)>, Failure> {
        let link = |container| match record::read::<Link>(&self.runtime_of(container), LINK_FILE) {
            Ok(link) => link.filter(|link| link.lease.bridge == bridge),
            Err(error) => {
                tracing::warn!(%container, %error, "the record of its link is damaged; it is made anew from the order");
                self.link_as_ordered(container, network, bridge, subnet)
            }
        };
        let observed = self.observed()?;
        Ok(observed.into_iter().filter_map(|container| Some((container, link(container)?))).collect())
    }

    /// Makes the record of a link anew, for a container of this network: all of it follows from its address.
    fn link_as_ordered(
        &self,
        container: ContainerId,
        network: NetworkId,
        bridge: &str,
        subnet: Subnet,
    ) -> Option<Link> {
        let directory = self.runtime_of(container);
        let ordered = record::read_if_whole::<Spec>(&directory, SPEC_FILE)?.container?;
        let address = ordered.names.address.filter(|address| subnet.contains(*address))?;
        let (bridge, gateway, mac) = (bridge.to_owned(), subnet.first_host(), link_address(network, address));
        let lease = Lease { network, bridge, subnet, address, gateway, mac };
        let link = Link { lease, port: self.networks.port_name(container) };
        if let Err(error) = record::write(&directory, LINK_FILE, &link) {
            tracing::warn!(%container, %error, "the record of its link cannot be written");
        }
        Some(link)
    }
}
