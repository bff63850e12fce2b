//! The creation of a container: what a user wrote, completed and judged before anything is written.

use std::net::IpAddr;

use serde_json::json;

use super::bounds::{Asked, warnings};
use super::{labels, lifted, reach, read, read_some};
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::ports::NodeFacts;
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::CreateContainer;
use crate::domain::container::{Command, Container};
use crate::domain::network::{self, Network};
use crate::domain::{Refusal, RefusalClass};
use crate::effects::command_line::CommandLine;
use crate::events::{AddressRequest, Configuration, DiskKind, Limits};
use crate::projections::query::{Moment, Query, QueryError};
use crate::projections::rows::TemplateRow;
use crate::types::{Category, ContainerId, Fingerprint, HostName, Name, NetworkId, Size, StreamName};

/// What a disk has if nobody says.
const DISK_DEFAULT: Size = Size::from_mib(10 << 10);
/// How many processes and threads if nobody says: plenty for a whole system, and a fork bomb leaves the host its own.
const PIDS_DEFAULT: u64 = 4096;
/// The word for no network.
pub(in crate::api) const NO_NETWORK: &str = "none";
/// The network that containers join if nobody says.
const NETWORK_DEFAULT: &str = "default";

/// What a container misses that asked for no network when there is no default one.
const NO_DEFAULT: &str = "there is no network named default, so it has none; to have one: berth network create default, and \
                          then make the container, or name another with --network";

/// Makes a container; what cannot come to be is refused before anything is written.
pub(super) async fn create(mut edge: Edge) -> ApiResult {
    edge.check_room(Room::Much)?;
    let wish: CreateContainer = edge.body()?;
    let name: Name = read("name.invalid", &wish.name)?;
    let limits = limits(&wish, &edge.ports.node)?;
    let disk = wish.disk.is_some().then_some(limits.disk);
    let asked = Asked { memory: limits.memory, cpus: limits.cpus, disk };
    edge.warn(warnings(asked, (edge.ports.node.capacity)()));
    let address = address(wish.address.as_deref())?;
    let own_labels = wish.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    let own_labels = labels(own_labels.iter().map(String::as_str))?;
    let hostname =
        read_some("hostname.invalid", wish.hostname.as_deref())?.unwrap_or_else(|| HostName::from(name.clone()));
    let managed = read_some("manage.invalid", wish.manage.as_deref())?.unwrap_or_default();
    let (reference, wanted) = (wish.template.clone(), wish.network.clone());
    let joins = edge.ports.node.can_start;
    let (template, network) = edge.ask(move |query| origins(query, &reference, wanted.as_deref(), joins)).await?;
    if joins && network.is_none() && wish.network.is_none() {
        edge.warn([NO_DEFAULT.to_owned()]);
    }
    if wish.address.is_some() && wish.network.as_deref() == Some(NO_NETWORK) {
        let message = "an address is one in a network, and the container is to have none; leave out one of the two";
        return Err(ApiError::invalid("address.no-network", message));
    }
    if joins && wish.command.is_none() && !has_init(&template) {
        return Err(no_init(&template.name).into());
    }
    let default_disk = if edge.ports.node.image_disks { DiskKind::Image } else { DiskKind::Directory };
    if wish.disk_kind == Some(DiskKind::Image) && !edge.ports.node.image_disks {
        return Err(no_images().into());
    }
    if wish.disk.is_some() && wish.disk_kind == Some(DiskKind::Directory) {
        edge.warn([
            "a disk of the kind directory takes what the node's file system has; its size does not hold".to_owned()
        ]);
    }
    let mut configuration = Configuration {
        hostname,
        managed,
        template: template.id,
        limits,
        disk: wish.disk_kind.unwrap_or(default_disk),
        network,
        address,
        labels: own_labels,
        autostart: wish.autostart,
        restart: read_some("restart.invalid", wish.restart.as_deref())?.unwrap_or_default(),
        privileged: wish.privileged,
        nesting: wish.nesting,
        command: None,
    };
    let id = ContainerId::from_bytes(draw()?);
    let subject = Subject::new(StreamName::new(Category::Container, id), Some(&name));
    edge.foresee_name(&subject.stream, &name).await?;
    if let Some(network) = network {
        let lease = network::Command::Lease { holder: subject.stream.clone(), request: address };
        if let Err(error) = edge.foresee::<Network>(&StreamName::new(Category::Network, network), lease).await {
            let row = edge.ask(move |query| query.network(&network.to_string(), Moment::Now)).await?;
            return Err(error.named(Some(row.name.as_str())));
        }
    }
    if configuration.disk == DiskKind::Image {
        edge.promise(configuration.limits.disk.as_bytes()).await?;
    }
    if let Some(argv) = wish.command {
        configuration.command = Some(keep_command(&mut edge, argv).await?);
    }
    let configuration = Box::new(configuration);
    edge.perform::<Container>(subject, Command::Create { id, name, configuration, parent: None }).await
}

/// Keeps the command line apart before anything is recorded that refers to it; the annex tells it, too.
async fn keep_command(edge: &mut Edge, argv: Vec<String>) -> ApiResult<Fingerprint> {
    edge.annex.insert("command".to_owned(), json!(argv));
    let line = CommandLine::new(draw()?, argv);
    let fingerprint = line.fingerprint();
    if !edge.is_dry_run() {
        reach(&edge.ports, move |access| access.keep_command(&line)).await?;
    }
    Ok(fingerprint)
}

fn limits(wish: &CreateContainer, node: &NodeFacts) -> ApiResult<Limits> {
    let pids = lifted("pids.invalid", wish.pids.as_deref())?;
    Ok(Limits {
        memory: read_some("memory.invalid", wish.memory.as_deref())?,
        cpus: read_some("cpus.invalid", wish.cpus.as_deref())?,
        pids: pids.unwrap_or_else(|| node.process_limits.then_some(PIDS_DEFAULT)),
        disk: read_some("disk.invalid", wish.disk.as_deref())?.unwrap_or(DISK_DEFAULT),
    })
}

pub(super) fn address(text: Option<&str>) -> ApiResult<AddressRequest> {
    let Some(text) = text else { return Ok(AddressRequest::Auto) };
    let address: Result<IpAddr, _> = text.parse();
    let invalid =
        |_| ApiError::invalid("address.invalid", format!("{text:?} is no IP address; write one such as 10.0.3.7"));
    address.map(AddressRequest::Fixed).map_err(invalid)
}

/// Finds the template, and the network: the one named, none, or the default one where containers can run.
fn origins(
    query: &Query,
    template: &str,
    network: Option<&str>,
    joins: bool,
) -> Result<(TemplateRow, Option<NetworkId>), QueryError> {
    let template = query.usable_template(template)?;
    let network = match network {
        Some(NO_NETWORK) => None,
        Some(reference) => Some(query.usable_network(reference)?.id),
        None if joins => match query.usable_network(NETWORK_DEFAULT) {
            Ok(row) => Some(row.id),
            Err(QueryError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        },
        None => None,
    };
    Ok((template, network))
}

fn has_init(template: &TemplateRow) -> bool {
    template.summary.as_ref().is_none_or(|summary| summary.init.is_some())
}

/// Says now what each start would say. Where containers cannot start, one without an init still keeps files.
fn no_init(template: &Name) -> Refusal {
    let message = format!("the template {template} has no init, and no command was given that could run in its place");
    let hint = format!("berth container create NAME --template {template} -- COMMAND");
    Refusal::new(RefusalClass::Unsupported, "container.no-init", message).hinted(hint)
}

fn no_images() -> Refusal {
    let message = "a disk in an image of its own cannot be had here: it wants root, loop devices and mkfs.ext4";
    Refusal::new(RefusalClass::Unsupported, "disk.no-images", message).hinted("berth doctor")
}
