//! `berth template create`: from a directory, an archive, or this host.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::{ImportTemplate, TemplateSource};
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::templates::{has_no_init, missing};

/// Make a template of a directory, an archive, or this host's own system
///
/// The files are copied, made read-only and known by a digest from then on. What no two machines may share (SSH host keys,
/// the machine id, the random seed …) is left out; each container gets its own at its first start. Of an image of Incus or LXD
/// (rootfs beside metadata.yaml) the tree alone is taken.
#[derive(Debug, Args)]
#[command(
    override_usage = "berth template create [OPTIONS] <NAME>\n       <--from-dir <DIR>|--from-tar <FILE>|--from-host>",
    after_long_help = "Examples:\n  berth template create debian --from-tar debian-13.tar.zst\n  \
    berth template create debian --from-dir /srv/rootfs\n  berth template create host --from-host"
)]
pub struct Arguments {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Says where the files come from.
#[derive(Debug, Args)]
#[allow(clippy::struct_field_names)] // They are the names of the options.
#[group(required = true, multiple = false)]
struct Source {
    /// A directory on the node that holds a whole system
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    from_dir: Option<PathBuf>,
    /// A tar archive on the node: plain, gz, xz or zst
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    from_tar: Option<PathBuf>,
    /// The node's own system, without its users, keys and services
    #[arg(long)]
    from_host: bool,
}

impl Source {
    fn resource(&self) -> Result<TemplateSource, Failure> {
        match (&self.from_dir, &self.from_tar) {
            (Some(path), _) => Ok(TemplateSource::Directory { path: absolute(path)? }),
            (_, Some(path)) => Ok(TemplateSource::Archive { path: absolute(path)? }),
            _ => Ok(TemplateSource::Host),
        }
    }
}

/// The daemon works in another directory, so it is given whole paths.
pub fn absolute(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
    absolute.ok_or_else(|| {
        Failure::usage(
            "usage.path",
            format!("the path {} is not UTF-8, or there is no current directory", path.display()),
        )
    })
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let body = ImportTemplate { name: name.clone(), source: arguments.source.resource()? };
    let change = Change::new(Target::new("/v1/templates"), name, "created")
        .body(&body)
        .result("/v1/templates", missing)
        .next(format!("container create web1 --template {name} --start"))
        .next_where(has_no_init, format!("container create web1 --template {name} --start -- sleep infinity"))
        .undo(format!("template delete {name}"));
    change::apply(context, &arguments.options, change)
}
