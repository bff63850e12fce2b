//! The merged view against the kernel's own: an overlay is mounted, changed, listed; the engine must show the same names.

use std::collections::BTreeMap;
use std::process::Command;

use super::*;
use crate::repository::Outward;

/// Builds a template, changes it through an overlay in a mount namespace of its own, and prints what the overlay shows.
const SCRIPT: &str = r#"
set -e
cd "$1"
mkdir lower upper work merged
cd lower
mkdir -p keep/deep gone old/sub/x opaque replaced rel/in
echo a > keep/deep/a; echo b > keep/b; echo c > gone/c; echo d > old/sub/x/d; echo e > old/e; echo f > opaque/f
echo g > file; echo h > replaced/h; echo i > rel/in/i; echo j > todir; ln file hard; ln keep/b keep/deep/b2; echo k > rel/k
cd ..
mount -t overlay overlay -o "$2lowerdir=lower,upperdir=upper,workdir=work,$3" merged
cd merged
rm -r gone; mv old new; rm new/e; echo n > new/n; rm -r opaque; mkdir opaque; echo o > opaque/o
rm -r replaced; echo now-a-file > replaced; echo more >> file; mv rel/in rel/out; echo z > rel/out/z
rm todir; mkdir todir; echo y > todir/y; mv new/sub/x new/sub/y; rm keep/b; mv keep moved; mkdir keep; echo q > keep/q
find . -type f -printf '%P ' -exec md5sum '{}' ';' | sed 's/ \.\/.*//' | sed 's/  .*//'
find . -type d -printf '%P dir\n'
"#;

fn shown_by_the_kernel(bench: &Bench, options: &str) -> Option<BTreeMap<String, String>> {
    let place = bench.path("overlay");
    std::fs::create_dir(&place).unwrap();
    // The kernel refuses redirects with userxattr; mv copies renamed directories then.
    let redirect = if options.is_empty() { "redirect_dir=on" } else { "redirect_dir=nofollow" };
    let run =
        Command::new("unshare").args(["-m", "sh", "-c", SCRIPT, "sh"]).arg(&place).arg(options).arg(redirect).output();
    match run {
        Ok(done) if done.status.success() => {
            let text = String::from_utf8(done.stdout).unwrap();
            let pair = |line: &str| line.rsplit_once(' ').map(|(path, what)| (path.to_owned(), what.to_owned()));
            Some(text.lines().map(str::trim_end).filter_map(pair).collect())
        }
        Ok(done) => {
            println!("skipped: no overlay here: {}", String::from_utf8_lossy(&done.stderr));
            None
        }
        Err(error) => {
            println!("skipped: no unshare here: {error}");
            None
        }
    }
}

fn shown_by_us(bench: &Bench, into: &str) -> BTreeMap<String, String> {
    let (repository, _) = bench.create();
    let upper = back_up(&repository, &bench.dir("overlay/upper"), options(), "one").unwrap();
    let lower = bench.dir("overlay/lower");
    let digest = TreeDigest(catalogue::tree_digest(lower.as_fd(), IdMap::IDENTITY, &|| false).unwrap());
    let alone = repository.store_template(lower.as_fd(), digest, false, options(), &mut |_| {}).unwrap();
    assert!(!alone.self_contained && repository.verify(&mut |_| true).unwrap().is_clean());
    let record = repository.store_template(lower.as_fd(), digest, true, options(), &mut |_| {}).unwrap();
    assert!(record.self_contained && repository.templates().unwrap() == [digest]);
    let upper = repository.catalogue(&upper.catalogue).unwrap();
    let merged = || Merged::new(&upper, repository.template_catalogue(digest).unwrap());
    let target = bench.dir(into);
    let plain = RestoreOptions { outward: Some(Outward::EVERYTHING), ..restore_options(IdMap::IDENTITY) };
    let reader = Reader::new(repository.clone());
    let report = restore(select(merged(), Vec::new()), &reader, target.as_fd(), &plain, &mut |_| {}).unwrap();
    assert_eq!(report.exceptions, []);
    for entry in merged() {
        let entry = entry.unwrap();
        assert_eq!(find(&upper, repository.template_catalogue(digest).unwrap(), &entry.path).unwrap().node, entry.node);
    }
    listed(&bench.path(into))
}

fn listed(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (path, facts) in facts(root) {
        let name = path.to_str().unwrap().to_owned();
        assert!(facts.attributes.is_empty(), "{name} {:?}", facts.attributes);
        match facts.content {
            Some(_) => {
                let sum = Command::new("md5sum").arg(root.join(&path)).output().unwrap().stdout;
                let sum = String::from_utf8(sum).unwrap();
                all.insert(name, sum.split(' ').next().unwrap().to_owned());
            }
            None => {
                all.insert(name, "dir".to_owned());
            }
        }
    }
    all
}

fn compare(options: &str) {
    let bench = Bench::new();
    let Some(wanted) = shown_by_the_kernel(&bench, options) else { return };
    assert!(wanted.len() > 15, "{wanted:?}");
    assert_eq!(shown_by_us(&bench, "out"), wanted);
}

#[test]
fn the_merged_view_is_the_kernels_with_trusted_attributes() {
    compare("");
}

#[test]
fn the_merged_view_is_the_kernels_with_user_attributes() {
    compare("userxattr,");
}
