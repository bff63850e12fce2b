//! The rules of a network, as given, when, then.

use super::{Command, Network};
use crate::domain::Aggregate;
use crate::domain::effect::{Answer, Ask, Facts, Failure, Outcome};
use crate::domain::testing::{Decided, answers_everything, asked, given, operation, report};
use crate::events::{AddressRequest, NetworkEvent};
use crate::types::{Category, NetworkId, StreamName};

fn define(subnet: &str, bridge: &str) -> Command {
    Command::Define {
        id: NetworkId::derived("n"),
        name: "lan".parse().unwrap(),
        subnet: subnet.parse().unwrap(),
        bridge: bridge.to_owned(),
    }
}

fn requested(subnet: &str) -> NetworkEvent {
    NetworkEvent::NetworkRequested {
        id: NetworkId::derived("n"),
        name: "lan".parse().unwrap(),
        subnet: subnet.parse().unwrap(),
        bridge: "br0".to_owned(),
    }
}

fn making() -> Vec<NetworkEvent> {
    vec![requested("10.1.0.0/29"), NetworkEvent::NetworkNameClaimed]
}

fn there() -> Vec<NetworkEvent> {
    after(making(), [NetworkEvent::NetworkCreated])
}

fn after(history: Vec<NetworkEvent>, more: impl IntoIterator<Item = NetworkEvent>) -> Vec<NetworkEvent> {
    history.into_iter().chain(more).collect()
}

fn lost() -> Vec<String> {
    vec!["the bridge br0".to_owned()]
}

fn holder(key: &str) -> StreamName {
    StreamName::new(Category::Container, key)
}

fn lease(key: &str) -> Command {
    Command::Lease { holder: holder(key), request: AddressRequest::Auto }
}

fn fixed(key: &str, address: &str) -> Command {
    Command::Lease { holder: holder(key), request: AddressRequest::Fixed(address.parse().unwrap()) }
}

/// Leases addresses by the rules themselves and returns the history.
fn leased(keys: &[&str]) -> Vec<NetworkEvent> {
    keys.iter().fold(there(), |history, key| {
        let given_now = crate::domain::Given { operation: operation(), at: crate::types::Timestamp::default() };
        let events = given::<Network>(history.clone()).state().decide(&lease(key), given_now).unwrap();
        after(history, events)
    })
}

fn failed(step: &'static str) -> Command {
    report(step, Outcome::Failed(Failure::permanent("no bridge")))
}

fn done(step: &'static str) -> Command {
    report(step, Outcome::Done(Facts::None))
}

fn accepted(step: &'static str) -> Command {
    report(step, Outcome::Answered(Answer::Accepted))
}

#[track_caller]
fn when(history: Vec<NetworkEvent>, command: Command) -> Decided<Network> {
    given(history).when(command)
}

#[test]
fn it_should_claim_its_name_then_make_the_bridge() {
    when(vec![], define("10.1.0.0/29", "br0")).then([requested("10.1.0.0/29")]).owing(Some("claim-name"));
    when(vec![requested("10.1.0.0/29")], accepted("claim-name"))
        .then([NetworkEvent::NetworkNameClaimed])
        .owing(Some("make"));
    when(making(), done("make")).then([NetworkEvent::NetworkCreated]).owing(None);
    when(there(), define("10.1.0.0/29", "br0")).then_nothing();
    when(there(), define("10.2.0.0/29", "br0")).then_refused("network.exists");
}

#[test]
fn it_should_refuse_what_cannot_work() {
    when(vec![], define("10.1.0.0/32", "br0")).then_refused("network.subnet-too-small");
    when(vec![], define("10.1.0.0/29", "a-name-of-16-byt")).then_refused("network.bridge-name");
    when(vec![], define("10.1.0.0/29", "")).then_refused("network.bridge-name");
    for reserved in ["127.0.0.0/24", "0.0.0.0/0", "169.254.7.0/24", "224.0.0.0/24", "255.255.255.0/24"] {
        when(vec![], define(reserved, "br0")).then_refused("network.subnet-reserved");
    }
}

#[test]
fn it_should_remove_the_bridge_then_the_name_of_a_failed_create() {
    let failing = NetworkEvent::NetworkCreateFailing { reason: "no bridge".to_owned() };
    when(making(), failed("make")).then([failing.clone()]).owing(Some("remove"));
    let history = after(making(), [failing]);
    when(history.clone(), done("remove")).then([NetworkEvent::NetworkRemoved]).owing(Some("release-name"));
    when(history.clone(), failed("remove"))
        .then([NetworkEvent::NetworkCreateStuck { reason: "no bridge".to_owned() }])
        .owing(None);
    let history = after(history, [NetworkEvent::NetworkRemoved]);
    let over = NetworkEvent::NetworkCreateFailed { reason: "no bridge".to_owned() };
    when(history.clone(), accepted("release-name")).then([over.clone()]).owing(None);
    when(after(history, [over]), lease("a")).then_refused("network.not-found");
}

#[test]
fn it_should_let_a_creation_be_called_off() {
    let cancel = Command::Cancel { operation: operation() };
    when(making(), cancel.clone())
        .then([NetworkEvent::NetworkCreateFailing { reason: "cancelled".to_owned() }])
        .owing(Some("remove"));
    when(there(), cancel.clone()).then_refused("operation.not-found");
    when(after(there(), [NetworkEvent::NetworkDeleteRequested]), cancel).then_refused("operation.too-late");
}

#[test]
fn it_should_lease_the_lowest_free_address_after_the_gateway() {
    when(vec![], lease("a")).then_refused("network.not-found");
    when(making(), lease("a")).then_refused("network.not-made");
    let state = given::<Network>(leased(&["a", "b"])).state();
    let first = state.lease_of("container/a").unwrap();
    assert_eq!((first.address.to_string(), first.gateway.to_string()), ("10.1.0.2".to_owned(), "10.1.0.1".to_owned()));
    assert_eq!(state.lease_of("container/b").unwrap().address.to_string(), "10.1.0.3");
    when(leased(&["a"]), lease("a")).then_nothing();
    when(leased(&["a", "b", "c", "d", "e"]), lease("f")).then_refused("network.full");
    let released = NetworkEvent::AddressReleased { holder: "container/a".to_owned() };
    let used = |count: usize| super::Rejection::used_by(vec!["container/a".to_owned(); count].iter()).to_string();
    assert_eq!(used(1), "1 address is leased: container/a");
    assert!(used(2).starts_with("2 addresses are leased: "));
    when(leased(&["a", "b"]), Command::Release { holder: holder("a") }).then([released.clone()]);
    when(there(), Command::Release { holder: holder("a") }).then_nothing();
    when(after(leased(&["a", "b"]), [released]), fixed("c", "10.1.0.2")).owing(None);
}

#[test]
fn it_should_give_a_link_address_that_is_local_and_always_the_same() {
    let mac = |history| given::<Network>(history).state().lease_of("container/a").unwrap().mac;
    let first = mac(leased(&["a"]));
    assert_eq!(first, mac(leased(&["a", "b"])));
    assert!(first.to_string().starts_with("02:"));
    let state = given::<Network>(leased(&["a", "b"])).state();
    assert_ne!(state.lease_of("container/a").unwrap().mac, state.lease_of("container/b").unwrap().mac);
}

#[test]
fn it_should_refuse_an_address_that_is_not_to_be_had() {
    when(there(), fixed("a", "10.9.0.2")).then_refused("address.outside");
    for reserved in ["10.1.0.0", "10.1.0.1", "10.1.0.7"] {
        when(there(), fixed("a", reserved)).then_refused("address.reserved");
    }
    when(leased(&["a"]), fixed("b", "10.1.0.2")).then_refused("address.taken");
    when(leased(&["a"]), fixed("a", "10.1.0.5")).then_refused("address.second");
    when(leased(&["a"]), fixed("a", "10.1.0.2")).then_nothing();
}

#[test]
fn it_should_tell_the_holder_its_own_lease() {
    let state = given::<Network>(leased(&["a", "b"])).state();
    let answer = state.answer(&asked(Ask::LeaseAddress(AddressRequest::Auto), holder("a")));
    assert_eq!(answer, Answer::Lease(Box::new(state.lease_of("container/a").unwrap())));
}

#[test]
fn it_should_be_made_again_after_a_boot_once() {
    let boot = || Command::ReportBoot { boot: "b2".to_owned() };
    let requested = NetworkEvent::NetworkRestoreRequested { boot: Some("b2".to_owned()), missing: vec![] };
    when(there(), boot()).then([requested.clone()]).owing(Some("make"));
    let history = after(there(), [requested]);
    when(history.clone(), boot()).then_nothing();
    when(history.clone(), lease("a")).owing(Some("make"));
    when(history.clone(), done("make")).then([NetworkEvent::NetworkRestored]).owing(None);
    when(after(history.clone(), [NetworkEvent::NetworkRestored]), boot()).then_nothing();
    let failed_again = NetworkEvent::NetworkRestoreFailed { reason: "no bridge".to_owned() };
    when(history.clone(), failed("make")).then([failed_again.clone()]).owing(None);
    when(after(history, [failed_again]), boot()).owing(Some("make"));
    when(making(), boot()).then_nothing();
}

#[test]
fn it_should_be_made_again_when_found_missing() {
    when(there(), Command::ReportMissing { missing: lost() })
        .then([NetworkEvent::NetworkRestoreRequested { boot: None, missing: lost() }])
        .owing(Some("make"));
    when(vec![], Command::ReportMissing { missing: lost() }).then_nothing();
}

#[test]
fn it_should_tell_what_falls_short_when_that_is_news() {
    let found = |words: &[&str]| {
        let shortcomings = words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        (report::<Command>("make", Outcome::Done(Facts::Network { shortcomings: shortcomings.clone() })), shortcomings)
    };
    let ((made, shortcomings), (well, _)) = (found(&["no nft"]), found(&[]));
    let short = NetworkEvent::ShortcomingsFound { shortcomings };
    when(making(), made.clone()).then([short.clone(), NetworkEvent::NetworkCreated]);
    let requested = NetworkEvent::NetworkRestoreRequested { boot: None, missing: lost() };
    let history = after(making(), [short, NetworkEvent::NetworkCreated, requested]);
    when(history.clone(), made).then([NetworkEvent::NetworkRestored]);
    let none = NetworkEvent::ShortcomingsFound { shortcomings: vec![] };
    when(history, well).then([none, NetworkEvent::NetworkRestored]);
    let seen = |words: &[&str]| {
        let shortcomings = words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        (Command::ReportShortcomings { shortcomings: shortcomings.clone() }, shortcomings)
    };
    let ((drops, shortcomings), (calm, _)) = (seen(&["a chain drops"]), seen(&[]));
    let told = NetworkEvent::ShortcomingsFound { shortcomings };
    when(there(), drops.clone()).then([told.clone()]).owing(None);
    when(after(there(), [told.clone()]), drops.clone()).then_nothing();
    let gone = NetworkEvent::ShortcomingsFound { shortcomings: vec![] };
    when(after(there(), [told]), calm.clone()).then([gone]);
    when(there(), calm).then_nothing();
    when(vec![], drops).then_nothing();
}

#[test]
fn it_should_not_be_deleted_while_leased() {
    when(leased(&["a"]), Command::Delete).then_refused("network.used");
    when(there(), Command::Delete).then([NetworkEvent::NetworkDeleteRequested]).owing(Some("remove"));
    let history = after(there(), [NetworkEvent::NetworkDeleteRequested]);
    when(history.clone(), lease("a")).then_refused("network.busy");
    when(history.clone(), failed("remove"))
        .then([NetworkEvent::NetworkDeleteStuck { reason: "no bridge".to_owned() }])
        .owing(None);
    let history = after(history, [NetworkEvent::NetworkRemoved]);
    when(history.clone(), accepted("release-name")).then([NetworkEvent::NetworkDeleted]).owing(None);
    when(after(history, [NetworkEvent::NetworkDeleted]), Command::Delete).then_nothing();
    when(vec![], Command::Delete).then_refused("network.not-found");
    when(making(), Command::Delete).then_refused("network.busy");
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let stuck = NetworkEvent::NetworkDeleteStuck { reason: "x".to_owned() };
    let histories = [
        leased(&["a", "b"]),
        after(making(), [NetworkEvent::NetworkCreateFailing { reason: "x".to_owned() }, NetworkEvent::NetworkRemoved]),
        after(there(), [NetworkEvent::NetworkDeleteRequested, stuck]),
        after(there(), [NetworkEvent::NetworkRestoreRequested { boot: None, missing: lost() }]),
    ];
    let commands = [
        define("10.1.0.0/29", "br0"),
        lease("b"),
        Command::Release { holder: holder("a") },
        Command::ReportBoot { boot: "b".to_owned() },
        Command::ReportMissing { missing: lost() },
        Command::ReportShortcomings { shortcomings: lost() },
        Command::Delete,
        Command::Cancel { operation: operation() },
        done("make"),
    ];
    answers_everything::<Network>(&histories, &commands);
}

#[test]
fn a_network_as_it_is_chosen_holds_a_thousand_containers() {
    let given_now = crate::domain::Given { operation: operation(), at: crate::types::Timestamp::default() };
    let history = [requested("10.1.0.0/22"), NetworkEvent::NetworkNameClaimed, NetworkEvent::NetworkCreated];
    let mut state = given::<Network>(history).state();
    for number in 0..1_021 {
        let events = state.decide(&lease(&format!("c{number}")), given_now).unwrap();
        for event in &events {
            state.evolve(event, given_now);
        }
    }
    let refused = state.decide(&lease("one-too-many"), given_now).unwrap_err();
    assert_eq!(crate::domain::Refusal::from(refused).code, "network.full");
}
