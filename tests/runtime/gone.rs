//! What is gone is as it is wanted: the simulated host keeps the same law as the real one.

use std::sync::{Arc, Mutex};

use berth::domain::effect::{HostEffect, RunSpecification};
use berth::effects::Host as _;
use berth::effects::sim::{SimulatedHost, World};
use berth::events::Exit;

#[path = "../harness/gone.rs"]
mod law;

#[test]
fn what_is_gone_already_is_taken_away_with_success_at_every_step() {
    let host = SimulatedHost::new(Arc::new(Mutex::new(World::default())), vec![]);
    law::of_what_never_was(&host).unwrap();
    let container = crate::plans::id("web");
    let configuration = crate::plans::configuration("web");
    let run = RunSpecification { container, configuration, ids: None, lease: None, init: None, first: true };
    host.perform(&HostEffect::EnsureRunning(Box::new(run)), &law::context()).unwrap();
    host.end_init(container, Exit::Code(1));
    law::of_what_has_ended(&host, container).unwrap();
}
