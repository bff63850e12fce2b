//! `berth container`: the life of containers.

pub mod create;
mod defragment;
mod delete;
pub mod enter;
pub mod exec;
mod history;
pub mod list;
pub mod logs;
mod pause;
mod purge;
mod rename;
mod restart;
mod resume;
mod set;
mod show;
pub mod start;
pub mod stop;
pub mod targets;
mod undelete;
mod update_check;

use super::verbs;

verbs! {
    /// What can be done with containers.
    Verb {
        List(list),
        Show(show),
        Create(create),
        Start(start),
        Stop(stop),
        Restart(restart),
        Pause(pause),
        Resume(resume),
        Set(set),
        Rename(rename),
        Delete(delete),
        Undelete(undelete),
        Purge(purge),
        Exec(exec),
        Enter(enter),
        Logs(logs),
        History(history),
        Defragment(defragment),
        UpdateCheck(update_check),
    }
}
