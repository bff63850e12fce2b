//! The real host behind the seam: a whole life by its effects, and a death of the daemon at every step of a start.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use berth::domain::effect::{Facts, FailureKind, HostEffect, InitSignal, RunSpecification, SealSpecification};
use berth::effects::access::{Access, SessionRequest};
use berth::effects::clock::SystemClock;
use berth::effects::linux::paths::StatePaths;
use berth::effects::linux::{HostOptions, LinuxHost};
use berth::effects::steps::{CrashPoint, Immortal, Moment, StepName, steps_of};
use berth::effects::{Cancel, EffectContext, Host, Observation};
use berth::events::{
    AddressRequest, BackupMode, Configuration, DiskKind, InitKind, Limits, MaintenanceResult, RestartPolicy,
    TemplateSource,
};
use berth::shim::attach::{self, SessionStreams};
use berth::shim::record;
use berth::sys::{capability, process};
use berth::types::{
    BackupId, Category, ContainerId, NodeId, OperationId, RunId, SessionId, Size, StoreId, StreamName, TemplateId,
};

use crate::check;
use crate::drain;
use crate::fixture::{instance, parent};
use crate::harness::{Outcome, Stop, Test, gone as law, need, roots, scratch};

/// Of capabilities(7).
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// SIGSTOP (signal(7)).
const STOP: i32 = 19;

pub const TESTS: &[Test] = &[
    ("a container lives, is backed up while it runs, and comes back from the backup", whole_life),
    ("a daemon that dies at any step of a start leaves nothing that the next one does not finish", dies_while_starting),
    ("a disk with fragments has fewer of them afterwards", defragments),
    ("the package manager inside is asked what is pending", asks_the_package_manager),
    ("a package manager that never ends, or says too much, holds nobody up", odd_package_manager),
    ("a disk in use grows where the kernel lets it, and is as it was where not", grows),
    ("what is gone already is taken away with success at every step", gone),
    ("a process that waits for itself keeps nobody from ending its container", self_served),
    ("a supervisor that stands still keeps nobody from ending its container", silent_supervisor),
];

struct Place {
    folder: PathBuf,
    template: TemplateId,
    container: ContainerId,
    instance: String,
}

impl Place {
    fn new(name: &str) -> Result<Self, Stop> {
        need(&["root"])?;
        let folder = scratch().join(format!("host-{name}"));
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
        let (template, container) = (TemplateId::derived(name), ContainerId::derived(name));
        Ok(Self { folder, template, container, instance: instance() })
    }

    fn host(&self, crash: Arc<dyn CrashPoint>) -> Result<Arc<LinuxHost>, Stop> {
        Ok(LinuxHost::open(HostOptions {
            group: None,
            paths: StatePaths::with_runtime(self.folder.join("state"), self.folder.join("run")),
            instance: self.instance.clone(),
            key_dir: self.folder.join("keys/log"),
            node: NodeId::derived("node"),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_berth")),
            cgroup_parent: parent()?,
            clock: Arc::new(SystemClock),
            crash,
        })?)
    }

    fn prepare(&self, host: &LinuxHost, kind: DiskKind) -> Outcome {
        self.prepare_from(host, kind, roots::busybox()?)
    }

    fn prepare_from(&self, host: &LinuxHost, kind: DiskKind, root: PathBuf) -> Outcome {
        let source = TemplateSource::Directory { path: root.display().to_string() };
        perform(host, &HostEffect::EnsureTemplate { template: self.template, source })?;
        let (container, size) = (self.container, Size::from_mib(128));
        perform(host, &HostEffect::EnsureDisk { container, kind, size })?;
        Ok(())
    }

    fn configuration(&self, disk: DiskKind) -> Configuration {
        Configuration {
            hostname: "inside".parse().unwrap(),
            managed: berth::types::Managed::default(),
            template: self.template,
            limits: Limits { disk: Size::from_mib(128), memory: Some(Size::from_mib(64)), ..Limits::default() },
            disk,
            network: None,
            address: AddressRequest::Auto,
            labels: BTreeMap::new(),
            autostart: false,
            restart: RestartPolicy::default(),
            privileged: false,
            nesting: false,
            command: None,
        }
    }

    fn running(&self, disk: DiskKind) -> HostEffect {
        HostEffect::EnsureRunning(Box::new(RunSpecification {
            container: self.container,
            configuration: self.configuration(disk),
            ids: Some(berth::types::IdRange { base: 1_700_000_000, count: 65_536 }),
            lease: None,
            init: Some(InitKind::Busybox),
            first: false,
        }))
    }

    fn remove(&self, host: &LinuxHost) -> Outcome {
        perform(host, &HostEffect::EnsureStopped { container: self.container })?;
        perform(host, &HostEffect::EnsureDiskGone { container: self.container })?;
        perform(host, &HostEffect::EnsureTemplateGone { template: self.template })?;
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

fn context() -> EffectContext {
    EffectContext {
        stream: StreamName::new(Category::Container, "test"),
        operation: OperationId::derived("test"),
        step: "test",
        cancel: Cancel::default(),
        progress: Arc::new(|_| ()),
    }
}

fn perform(host: &LinuxHost, effect: &HostEffect) -> Result<Facts, Stop> {
    host.perform(effect, &context()).map_err(|failure| Stop::Failed(format!("{}: {failure}", effect.name())))
}

/// Runs a command inside and returns its exit code and what it printed.
fn inside(host: &LinuxHost, container: ContainerId, script: &str) -> Result<(i32, String), Stop> {
    let request = SessionRequest {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        environment: vec![],
        user: None,
        directory: None,
        terminal: None,
        without_echo: false,
    };
    let ticket = host.open_session(container, SessionId::derived(script), &request)?;
    let (session, streams) = attach::attach(&ticket.socket, &ticket.token)?;
    let SessionStreams::Pipes { output, .. } = streams else { return Err(Stop::Failed("no pipes".to_owned())) };
    let printed = std::io::read_to_string(std::fs::File::from(output))?;
    Ok((session.wait()?, printed))
}

fn self_served() -> Outcome {
    let place = Place::new("self-served")?;
    let host = place.host(Arc::new(Immortal))?;
    let (root, layer) = (place.folder.join("root"), drain::lower()?);
    for from in [roots::busybox()?, layer] {
        roots::run(std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(&root))?;
    }
    place.prepare_from(&host, DiskKind::Directory, root)?;
    perform(&host, &place.running(DiskKind::Directory))?;
    let line = format!("setsid {} act hold-file > /said 2>&1 < /dev/null & ", drain::INSIDE);
    let wait = "while ! grep -qs done /said; do sleep 0.1; done; cat /said";
    let (code, said) = inside(&host, place.container, &(line + wait))?;
    check!(code == 0 && said == "done open\n", "{code} {said}");
    let begun = Instant::now();
    perform(&host, &HostEffect::EnsureStopped { container: place.container })?;
    check!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    check!(host.observe(place.container) == Observation::Absent, "{:?}", host.observe(place.container));
    place.remove(&host)
}

fn silent_supervisor() -> Outcome {
    let place = Place::new("silent")?;
    let host = place.host(Arc::new(Immortal))?;
    place.prepare(&host, DiskKind::Directory)?;
    perform(&host, &place.running(DiskKind::Directory))?;
    let paths = StatePaths::with_runtime(place.folder.join("state"), place.folder.join("run"));
    let shim = record::living_shim(&paths.container_runtime(place.container))?.ok_or("no supervisor")?;
    process::kill(shim.process.pid, STOP)?;
    // It can be done without: neither its init nor its end waits until somebody gives up on it.
    let limit = Duration::from_secs(25);
    let container = place.container;
    let begun = Instant::now();
    perform(&host, &HostEffect::SignalInit { container, signal: InitSignal::Terminate })?;
    check!(begun.elapsed() < limit, "the signal took {:?}", begun.elapsed());
    let begun = Instant::now();
    perform(&host, &HostEffect::EnsureStopped { container })?;
    check!(begun.elapsed() < limit, "it took {:?}", begun.elapsed());
    check!(host.observe(place.container) == Observation::Absent, "{:?}", host.observe(place.container));
    check!(!shim.process.is_alive(), "the supervisor lives");
    place.remove(&host)
}

fn asks_the_package_manager() -> Outcome {
    let place = Place::new("updates")?;
    let host = place.host(Arc::new(Immortal))?;
    place.prepare(&host, DiskKind::Directory)?;
    let container = place.container;
    perform(&host, &place.running(DiskKind::Directory))?;
    let ask = HostEffect::UpdateCheck { container };
    let refused = host.perform(&ask, &context()).err().map(|failure| failure.to_string()).unwrap_or_default();
    check!(refused.contains("no package manager"), "{refused:?}");
    let script =
        "case \"$*\" in *dist-upgrade*) echo 'Inst one [1] (2 Debian-Security:12/stable-security [all])';; esac";
    install_package_manager(&host, container, script)?;
    let answer = perform(&host, &ask)?;
    let Facts::Maintenance(MaintenanceResult::UpdatesListed { count: 1, security: 1, pending, .. }) = &answer else {
        return Err(Stop::Failed(format!("{answer:?}")));
    };
    check!(pending[0].package == "one" && pending[0].candidate == "2", "{pending:?}");
    place.remove(&host)
}

fn install_package_manager(host: &LinuxHost, container: ContainerId, script: &str) -> Outcome {
    let install = "mkdir -p /usr/bin; ln -sf /bin/busybox /usr/bin/env; cd /usr/bin; touch apt-get; chmod +x apt-get";
    let (code, told) = inside(host, container, &format!("{install}; cat > apt-get <<'E'\n#!/bin/sh\n{script}\nE\n"))?;
    check!(code == 0, "{told}");
    Ok(())
}

fn odd_package_manager() -> Outcome {
    let place = Place::new("odd-updates")?;
    let host = place.host(Arc::new(Immortal))?;
    place.prepare(&host, DiskKind::Directory)?;
    let container = place.container;
    perform(&host, &place.running(DiskKind::Directory))?;
    let ask = HostEffect::UpdateCheck { container };
    install_package_manager(&host, container, "sleep 1000 & echo 'Inst one [1] (2 x [all])'")?;
    let answer = perform(&host, &ask)?;
    check!(matches!(&answer, Facts::Maintenance(MaintenanceResult::UpdatesListed { count: 1, .. })), "{answer:?}");
    for stream in [1, 2] {
        install_package_manager(&host, container, &format!("yes >&{stream}"))?;
        let refused = host.perform(&ask, &context()).err().map(|failure| failure.to_string()).unwrap_or_default();
        check!(refused.contains("it says more than 4 MiB"), "{refused:?}");
    }
    install_package_manager(&host, container, "sleep 1001")?;
    let context = context();
    let cancel = context.cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        cancel.cancel();
    });
    let failure = host.perform(&ask, &context).err();
    check!(failure.as_ref().is_some_and(|one| one.kind == FailureKind::Cancelled), "{failure:?}");
    canceller.join().map_err(|_| "the canceller panicked")?;
    place.remove(&host)
}

fn whole_life() -> Outcome {
    for (name, kind) in [("life-image", DiskKind::Image), ("life-directory", DiskKind::Directory)] {
        let place = Place::new(name)?;
        let host = place.host(Arc::new(Immortal))?;
        place.prepare(&host, kind)?;
        live(&place, &host, kind)?;
        place.remove(&host)?;
        check!(host.observe(place.container) == Observation::Absent, "something is left");
    }
    Ok(())
}

fn live(place: &Place, host: &LinuxHost, kind: DiskKind) -> Outcome {
    let container = place.container;
    let first = perform(host, &place.running(kind))?;
    check!(first == perform(host, &place.running(kind))?, "a repeated start found another init");
    let (code, _) =
        inside(host, container, "mkdir /srv; echo precious > /srv/notes; ln /srv/notes /srv/again; rm /etc/group")?;
    check!(code == 0, "the command inside failed with {code}");

    let (store, run, backup) = (StoreId::derived("s"), RunId::derived("r"), BackupId::derived("b"));
    let path = place.folder.join("store").display().to_string();
    perform(host, &HostEffect::EnsureStore { store, path, node: NodeId::derived("node") })?;
    let live = HostEffect::LivePass { run, container, store, mode: BackupMode::Incremental, base: None };
    perform(host, &live)?;
    let Facts::FrozenPass { frozen } = perform(host, &HostEffect::FrozenPass { run, container })? else {
        return Err(Stop::Failed("the frozen pass tells no time".to_owned()));
    };
    check!(frozen.as_micros() > 0, "a running container was not frozen");
    let seal = HostEffect::SealBackup(Box::new(SealSpecification {
        run,
        backup,
        container,
        container_name: "life".parse().unwrap(),
        configuration: place.configuration(kind),
        template_digest: digest(place)?,
        store,
        mode: BackupMode::Incremental,
        base: None,
        schedule: None,
    }));
    let Facts::Sealed(summary) = perform(host, &seal)? else { return Err(Stop::Failed("no summary".to_owned())) };
    check!(summary.unreadable == 0 && summary.entries > 3, "the backup is thin: {summary:?}");
    check!(perform(host, &seal).is_ok(), "a repeated seal does not find its backup");

    let mut content = vec![];
    host.backup_file(store, backup, "/srv/notes", &mut content)?;
    check!(content == b"precious\n", "cat gave {content:?}");
    let shown = host.backup_files(store, backup, "/")?;
    let has = |wanted: &str| shown.iter().any(|file| file.path.to_string() == wanted);
    check!(has("/bin/busybox") && has("/srv/again") && !has("/etc/group"), "the merged view is wrong");

    inside(host, container, "rm -rf /srv; echo broken > /etc/passwd")?;
    perform(host, &HostEffect::SignalInit { container, signal: InitSignal::Of(InitKind::Busybox) })?;
    perform(host, &HostEffect::EnsureStopped { container })?;
    let run = RunId::derived("back");
    perform(host, &HostEffect::RestoreFiles { run, backup, store, container })?;
    perform(host, &HostEffect::ExchangeRoot { run, container })?;
    perform(host, &HostEffect::ExchangeRoot { run, container })?; // repeated
    perform(host, &place.running(kind))?;
    let (_, printed) = inside(host, container, "cat /srv/notes /srv/again; head -1 /etc/passwd; ls /etc/group 2>&1")?;
    check!(printed.starts_with("precious\nprecious\nroot:x:0"), "after the restore: {printed:?}");
    check!(printed.contains("No such file"), "a deleted template file came back: {printed:?}");
    perform(host, &HostEffect::EnsureStopped { container })?;
    perform(host, &HostEffect::RevertRoot { run, container })?;
    perform(host, &place.running(kind))?;
    let (_, printed) = inside(host, container, "cat /etc/passwd; ls /srv 2>&1")?;
    check!(printed.starts_with("broken"), "after the way back: {printed:?}");
    Ok(())
}

fn digest(place: &Place) -> Result<String, Stop> {
    let summary = place.folder.join("state/templates").join(place.template.to_string()).join("summary.json");
    let value: serde_json::Value = serde_json::from_slice(&std::fs::read(summary)?)?;
    Ok(value["digest"].as_str().unwrap_or_default().to_owned())
}

/// Dies once, at one side of one step.
struct DiesAt(StepName, Moment, Mutex<bool>);

impl CrashPoint for DiesAt {
    fn dies(&self, effect: &HostEffect, step: StepName, moment: Moment) -> bool {
        let mut done = self.2.lock().unwrap();
        let here = matches!(effect, HostEffect::EnsureRunning(_)) && step == self.0 && moment == self.1 && !*done;
        *done |= here;
        here
    }
}

fn dies_while_starting() -> Outcome {
    let place = Place::new("dies")?;
    let host = place.host(Arc::new(Immortal))?;
    place.prepare(&host, DiskKind::Directory)?;
    let effect = place.running(DiskKind::Directory);
    for step in steps_of(&effect) {
        for moment in [Moment::Before, Moment::After] {
            let dying = place.host(Arc::new(DiesAt(step, moment, Mutex::new(false))))?;
            check!(dying.perform(&effect, &context()).is_err(), "it did not die at {step}");
            drop(dying); // its connections close, as the kernel closes those of a process that was killed
            let next = place.host(Arc::new(Immortal))?;
            let facts = perform(&next, &effect)?;
            let Observation::Running { init, .. } = next.observe(place.container) else {
                return Err(Stop::Failed(format!("not running after a death at {step}, {moment:?}")));
            };
            check!(matches!(facts, Facts::Started { init: told, .. } if told == init), "another init was told of");
            let (code, _) = inside(&next, place.container, "true")?;
            check!(code == 0, "it does not answer after a death at {step}");
            // A daemon that dies right after init went on has not written down which one it is.
            let written = place.folder.join("run/containers").join(place.container.to_string()).join("started.json");
            std::fs::remove_file(&written)?;
            perform(&next, &effect)?;
            check!(written.exists(), "not written down after a death at {step}");
            perform(&next, &HostEffect::EnsureStopped { container: place.container })?;
            check!(next.observe(place.container) == Observation::Absent, "remains after {step}, {moment:?}");
        }
    }
    place.remove(&host)
}

/// An init that was killed, a supervisor that was killed, a disk that is gone: nobody fails over what is as it is wanted.
fn gone() -> Outcome {
    let place = Place::new("gone")?;
    let host = place.host(Arc::new(Immortal))?;
    place.prepare(&host, DiskKind::Directory)?;
    let (container, effect) = (place.container, place.running(DiskKind::Directory));
    law::of_what_never_was(&*host)?;
    law::of_what_has_ended(&*host, container)?;
    for supervisor in [false, true] {
        let Facts::Started { init, .. } = perform(&host, &effect)? else {
            return Err(Stop::Failed("nothing was started".to_owned()));
        };
        let shim = record::living_shim(&place.folder.join("run/containers").join(container.to_string()))?;
        let shim = shim.ok_or("no supervisor")?.process.pid;
        let victim = if supervisor { shim } else { init.pid as i32 };
        berth::sys::process::kill(victim, 9)?;
        let begun = Instant::now();
        while matches!(host.observe(container), Observation::Running { .. }) {
            check!(begun.elapsed() < Duration::from_mins(1), "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
        law::of_what_has_ended(&*host, container)?;
        check!(host.observe(container) == Observation::Absent, "something is left");
    }
    perform(&host, &HostEffect::EnsureDiskGone { container })?;
    law::undone(&*host, &effect)?;
    check!(host.observe(container) == Observation::Absent, "something is left");
    place.remove(&host)
}

fn grows() -> Outcome {
    let place = Place::new("grow")?;
    let host = place.host(Arc::new(Immortal))?;
    place.prepare(&host, DiskKind::Image)?;
    perform(&host, &place.running(DiskKind::Image))?;
    let container = place.container;
    let shown = || -> Result<u64, Stop> {
        let (_, text) = inside(&host, container, "df -m / | tail -1 | awk '{print $2}'")?;
        Ok(text.trim().parse()?)
    };
    let small = shown()?;
    check!((90..=128).contains(&small), "{small} MiB");
    let size = Size::from_mib(20 << 10);
    let grow = HostEffect::EnsureDiskSize { container, kind: DiskKind::Image, size };
    if capability::effective()? & CAP_SYS_RESOURCE != 0 {
        perform(&host, &grow)?;
        perform(&host, &grow)?; // repeated
        let large = shown()?;
        check!(large > 17 << 10, "{small} MiB became {large}");
        let (code, text) = inside(&host, container, "dd if=/dev/zero of=/big bs=1M count=200 && rm /big")?;
        check!(code == 0, "{text}");
        eprintln!("grown in use: {small} MiB became {large}");
    } else {
        let failure = host.perform(&grow, &context()).err().map(|failure| failure.to_string()).unwrap_or_default();
        check!(failure.contains("stop the container first") && failure.contains("CAP_SYS_RESOURCE"), "{failure:?}");
        check!(shown()? == small, "half grown");
        perform(&host, &HostEffect::EnsureStopped { container })?;
        perform(&host, &grow)?;
        perform(&host, &place.running(DiskKind::Image))?;
        let large = shown()?;
        check!(large > 17 << 10, "{small} MiB became {large} while stopped");
    }
    place.remove(&host)
}

fn defragments() -> Outcome {
    let place = Place::new("defragment")?;
    let host = place.host(Arc::new(Immortal))?;
    place.prepare(&host, DiskKind::Image)?;
    perform(&host, &place.running(DiskKind::Image))?;
    // Two files that grow in turn lie between each other; what is deleted afterwards leaves blocks to give back.
    let script = "cd /root; i=0; while [ $i -lt 200 ]; do dd if=/dev/urandom bs=16k count=1 2>/dev/null >> a; sync a; \
                  dd if=/dev/urandom bs=16k count=1 2>/dev/null >> b; sync b; i=$((i+1)); done; rm b; sync";
    let (code, _) = inside(&host, place.container, script)?;
    check!(code == 0, "the disk could not be fragmented");
    let facts = perform(&host, &HostEffect::Defragment { container: place.container })?;
    let Facts::Maintenance(MaintenanceResult::Defragmented {
        fragments_before,
        fragments_after,
        allocated_before,
        allocated_after,
    }) = facts
    else {
        return Err(Stop::Failed(format!("no figures: {facts:?}")));
    };
    check!(fragments_after < fragments_before, "{fragments_before} fragments became {fragments_after}");
    check!(allocated_after < allocated_before, "{allocated_before} became {allocated_after}");
    let (_, printed) = inside(&host, place.container, "wc -c < /root/a")?;
    check!(printed.trim() == "3276800", "the file changed: {printed}");
    std::thread::sleep(Duration::from_millis(10));
    place.remove(&host)
}
