//! What the host's package database says: which packages make a system, and which files are theirs (dpkg(1), deb-control(5)).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Packages that make a container usable, if the host has them, whatever their priority.
const WANTED: [&str; 12] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "init",
    "iproute2",
    "iputils-ping",
    "procps",
    "less",
    "ca-certificates",
    "debian-archive-keyring",
    "ubuntu-keyring",
    "busybox-static",
];
/// Packages for booting real hardware, or for serving the host, have no place in a container.
const UNWANTED: [&str; 12] = [
    "linux-image",
    "linux-headers",
    "linux-base",
    "grub",
    "initramfs-tools",
    "dracut",
    "firmware",
    "openssh-server",
    "cloud-init",
    "ifupdown",
    "isc-dhcp",
    "postgresql",
];

/// Is an installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Package {
    pub name: String,
    pub architecture: String,
    essential: bool,
    priority: String,
    depends: Vec<Vec<String>>,
    provides: Vec<String>,
    /// The conffiles and their MD5 sums as shipped.
    pub conffiles: Vec<(String, String)>,
    /// Its paragraph in the database.
    pub paragraph: String,
}

/// Is the package database of one root.
pub(super) struct Database {
    root: PathBuf,
    packages: BTreeMap<String, Package>,
    providers: HashMap<String, String>,
}

impl Database {
    /// Reads the database; nothing if there is none.
    pub(super) fn read(root: &Path) -> io::Result<Option<Self>> {
        match fs::read(root.join("var/lib/dpkg/status")) {
            Ok(bytes) => Ok(Some(Self::parse(root, &String::from_utf8_lossy(&bytes)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(root: &Path, status: &str) -> Self {
        let installed = status.split("\n\n").filter_map(package);
        let packages: BTreeMap<_, _> = installed.map(|package| (package.name.clone(), package)).collect();
        let provided = packages
            .values()
            .flat_map(|package| package.provides.iter().map(|name| (name.clone(), package.name.clone())));
        let providers = provided.collect();
        Self { root: root.to_owned(), packages, providers }
    }

    /// Chooses the essential, required and important packages, what a container needs, and all they depend on.
    pub(super) fn system(&self) -> Vec<&Package> {
        let unwanted = |package: &Package| UNWANTED.iter().any(|start| package.name.starts_with(start));
        let base = self.packages.values().filter(|package| {
            package.essential
                || matches!(package.priority.as_str(), "required" | "important") && !unwanted(package)
                || WANTED.contains(&package.name.as_str())
        });
        let mut open: Vec<&Package> = base.collect();
        let mut chosen = BTreeSet::new();
        while let Some(package) = open.pop() {
            if chosen.insert(package.name.as_str()) {
                open.extend(package.depends.iter().filter_map(|choices| self.installed_choice(choices)));
            }
        }
        chosen.into_iter().filter_map(|name| self.packages.get(name)).collect()
    }

    fn installed_choice(&self, choices: &[String]) -> Option<&Package> {
        let real = |name: &String| self.packages.get(name);
        let provided = |name: &String| self.packages.get(self.providers.get(name)?);
        choices.iter().find_map(real).or_else(|| choices.iter().find_map(provided))
    }

    /// Lists the paths of a package, absolute.
    pub(super) fn paths(&self, package: &Package) -> io::Result<Vec<String>> {
        let text = fs::read(self.info(package, "list")?)?;
        Ok(String::from_utf8_lossy(&text).lines().filter(|line| *line != "/.").map(str::to_owned).collect())
    }

    /// Lists the database's own files about a package.
    pub(super) fn records(&self, package: &Package) -> io::Result<Vec<PathBuf>> {
        let kinds = [
            "list",
            "md5sums",
            "conffiles",
            "triggers",
            "shlibs",
            "symbols",
            "preinst",
            "postinst",
            "prerm",
            "postrm",
            "config",
            "templates",
        ];
        Ok(kinds.iter().filter_map(|kind| self.info(package, kind).ok()).collect())
    }

    fn info(&self, package: &Package, kind: &str) -> io::Result<PathBuf> {
        let directory = self.root.join("var/lib/dpkg/info");
        let plain = directory.join(format!("{}.{kind}", package.name));
        let qualified = directory.join(format!("{}:{}.{kind}", package.name, package.architecture));
        [plain, qualified]
            .into_iter()
            .find(|path| path.exists())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("package {} has no {kind}", package.name)))
    }
}

fn package(paragraph: &str) -> Option<Package> {
    let mut package = Package { paragraph: paragraph.trim_matches('\n').to_owned(), ..Package::default() };
    let mut installed = false;
    let mut in_conffiles = false;
    for line in paragraph.lines() {
        if let Some(continuation) = line.strip_prefix(' ') {
            let mut words = continuation.split_whitespace();
            let words = [words.next(), words.next(), words.next()];
            // "obsolete" ones have a third word.
            if let (true, [Some(path), Some(sum), None]) = (in_conffiles, words) {
                package.conffiles.push((path.to_owned(), sum.to_owned()));
            }
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        in_conffiles = key == "Conffiles";
        match key {
            "Package" => value.clone_into(&mut package.name),
            "Architecture" => value.clone_into(&mut package.architecture),
            "Priority" => value.clone_into(&mut package.priority),
            "Essential" => package.essential = value == "yes",
            "Status" => installed = value.ends_with(" installed"),
            "Depends" | "Pre-Depends" => package.depends.extend(relations(value)),
            "Provides" => package.provides.extend(relations(value).into_iter().flatten()),
            _ => {}
        }
    }
    (installed && !package.name.is_empty()).then_some(package)
}

/// Reads `a (>= 1) | b, c:any`: names alone, since what is installed already fits.
fn relations(value: &str) -> Vec<Vec<String>> {
    let name = |text: &str| {
        let end = text.find([' ', '(', ':', '[']).unwrap_or(text.len());
        text[..end].to_owned()
    };
    let choices = value.split(',').map(|choices| choices.split('|').map(|choice| name(choice.trim())).collect());
    choices.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATUS: &str = "Package: base\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n\
        Depends: lib (>= 2), virtual | other\nConffiles:\n /etc/a 0123\n /etc/old 99 obsolete\n\n\
        Package: lib\nStatus: install ok installed\nArchitecture: amd64\n\n\
        Package: real\nStatus: install ok installed\nProvides: virtual (= 1)\n\n\
        Package: other-tool\nStatus: install ok installed\nPriority: optional\n\n\
        Package: gone\nEssential: yes\nStatus: deinstall ok config-files\n";

    #[test]
    fn the_system_is_what_is_essential_and_what_that_needs() {
        let database = Database::parse(Path::new("/"), STATUS);
        let names: Vec<_> = database.system().iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["base", "lib", "real"]);
        assert_eq!(database.packages["base"].conffiles, [("/etc/a".to_owned(), "0123".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_database_makes_it_panic(text in "(Package|Status|Depends|Conffiles)?:? ?[a-z |,()\n]{0,200}") {
            Database::parse(Path::new("/"), &text).system();
        }
    }
}
