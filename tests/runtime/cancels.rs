//! Calling off: at each step of every plan, and whatever was claimed is given back.
//!
//! The points are what an undisturbed run appends. At each of them the log keeps the answer back: what was asked is recorded by
//! the other side, the one who asked does not know it yet, and then the plan is called off.

use std::time::Duration;

use berth::events::Closing;

use crate::daemon::{Daemon, End, Faults, LogFault, Scene, in_system};
use crate::plans::Plan;

const SUBJECT: &str = "subject";
/// How long a cancel has to be recorded before the answer that is kept back: the one who takes it may be who waits.
const LEAD: Duration = Duration::from_millis(40);

/// Calls the plan off while the answer to an append is kept back; says whether it came that far.
async fn is_called_off(plan: Plan, prepared: &Scene, append: u64) -> bool {
    let scene = prepared.copy();
    let daemon = Daemon::start(&scene, Faults { log: Some(LogFault::Hold(append)), ..Faults::default() });
    plan.order(&daemon, SUBJECT).await.unwrap();
    while !daemon.keeps_answer() && daemon.picture().closed(SUBJECT).is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reached = daemon.keeps_answer();
    let called_off = async {
        let mut cancel = std::pin::pin!(plan.cancel(&daemon, SUBJECT));
        let early = tokio::time::timeout(LEAD, &mut cancel).await;
        daemon.answer();
        match early {
            Ok(cancelled) => cancelled,
            Err(_) => cancel.await,
        }
    };
    let cancelled = called_off.await;
    assert_eq!(daemon.quiet().await, End::Quiet);
    let story = || format!("{plan:?} called off at append {append}: {cancelled:?}\n{}", daemon.history());
    let picture = daemon.picture();
    let closing = picture.closed(SUBJECT).cloned();
    assert!(picture.open().is_empty(), "{}", story());
    assert!(!matches!(closing, None | Some(Closing::Stuck { .. })), "{closing:?} {}", story());
    assert_eq!(daemon.dead_claims(), [], "{}", story());
    picture.agrees_with(&daemon.world());
    daemon.crash();
    reached
}

async fn at_each_step(plan: Plan) {
    let prepared = Scene::new();
    let daemon = Daemon::start(&prepared, Faults::default());
    daemon.found().await;
    plan.prepare(&daemon).await;
    assert_eq!(daemon.quiet().await, End::Quiet);
    daemon.crash();
    // The first one is the wish itself.
    let mut append = 2;
    while is_called_off(plan, &prepared, append).await {
        append += 1;
    }
    assert!(append > 3, "{plan:?} takes steps");
    println!("{plan:?}: called off at {} points", append - 2);
}

macro_rules! laws {
    ($($name:ident: $($plan:ident),+;)+) => {$(
        #[test]
        fn $name() {
            $(in_system(at_each_step(Plan::$plan));)+
        }
    )+};
}

laws! {
    a_restore_in_place_that_is_called_off_keeps_no_claim: RestoreInPlace;
    a_restore_elsewhere_that_is_called_off_keeps_no_claim: RestoreNew, RestoreFiles;
    a_backup_that_is_called_off_keeps_no_claim: BackupRunning, BackupPaused, BackupStopped, RunBatch;
    maintenance_that_is_called_off_keeps_no_claim: Defragment, UpdateCheck, Verify;
    what_is_called_off_while_it_is_made_keeps_no_claim: Create, ImportTemplate, DefineNetwork, CreateStore;
}
