//! `maildesk install`: what a package would lay down, on a machine without packages.
//!
//! It may be done again: files of the program are renewed, what is the operator's (configuration, key) is never touched.
//! Nothing is started, and no user is made: the next steps are told.

mod files;

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::make_key;
use super::output::{CliError, Output, json};
use files::{File, Kind, files};

/// Put the program, its systemd unit, manual pages, completions and an example configuration in their places
#[derive(Debug, clap::Args)]
#[command(after_help = "A configuration or a key that is there is left as it is. Example:\n  \
    sudo maildesk install\n  maildesk install --root /tmp/look --dry-run")]
pub struct Args {
    /// The folder that stands for /
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Where the program goes, below the root
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Take away what an install with the same root and prefix has laid down. Configuration, key and data stay
    #[arg(long)]
    uninstall: bool,
    /// What goes into a package: no key, which is made where it is installed
    #[arg(long, hide = true)]
    for_package: bool,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    Written,
    /// It was there, just so.
    Unchanged,
    /// It is the operator's.
    Kept,
    Removed,
    Absent,
}

#[derive(Serialize)]
struct Line {
    path: PathBuf,
    done: Done,
}

pub fn run(args: &Args) -> Result<Output, CliError> {
    if !args.prefix.is_absolute() {
        return Err(CliError::usage(format!("--prefix {} does not begin with /", args.prefix.display())));
    }
    let mut lines = vec![];
    for file in files(&args.prefix, args.for_package)? {
        let path = below(&args.root, &file.path);
        let done = match args.uninstall {
            true => take_away(&file, &path, args.dry_run),
            false => lay(&file, &path, args.dry_run),
        };
        lines.push(Line { done: done.map_err(|e| refused(&path, &e))?, path });
    }
    let human = told(&lines, args);
    Ok(Output { json: json(&lines)?, human, ..Output::default() })
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn refused(path: &Path, error: &io::Error) -> CliError {
    let what_to_do = match error.kind() {
        io::ErrorKind::PermissionDenied => ": run it as root, or give --root",
        _ => "",
    };
    CliError::unavailable(format!("{}: {error}{what_to_do}", path.display()))
}

fn lay(file: &File, path: &Path, is_dry: bool) -> io::Result<Done> {
    let there = match fs::symlink_metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    if let Some(metadata) = there {
        if file.is_operators {
            return Ok(Done::Kept);
        }
        let is_same = matches!(&file.kind, Kind::Bytes(bytes) if fs::read(path)? == *bytes)
            && metadata.permissions().mode() & 0o777 == file.mode;
        if is_same {
            return Ok(Done::Unchanged);
        }
    }
    if !is_dry {
        make_folders(file, path)?;
        write(file, path)?;
    }
    Ok(Done::Written)
}

/// What is the operator's stays, and so does whatever else lies in a folder; one of ours that is empty then goes too.
fn take_away(file: &File, path: &Path, is_dry: bool) -> io::Result<Done> {
    if file.is_operators {
        return Ok(if path.exists() { Done::Kept } else { Done::Absent });
    }
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Done::Absent),
        Err(e) => return Err(e),
        Ok(_) if is_dry => return Ok(Done::Removed),
        Ok(_) => fs::remove_file(path)?,
    }
    if let Some(folder) = path.parent().filter(|folder| folder.ends_with("doc/maildesk")) {
        // Others' files in it keep it.
        drop(fs::remove_dir(folder));
    }
    Ok(Done::Removed)
}

fn make_folders(file: &File, path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.exists()) else { return Ok(()) };
    fs::create_dir_all(folder)?;
    match file.is_operators {
        // The configuration may hold passwords; systemd-tmpfiles lets the service's group in.
        true => fs::set_permissions(folder, fs::Permissions::from_mode(0o750)),
        false => Ok(()),
    }
}

/// Under another name first: a program that runs cannot be written over, and half a unit must never stand there.
fn write(file: &File, path: &Path) -> io::Result<()> {
    let bytes = match &file.kind {
        Kind::Key => return make_key(path).map(drop).map_err(|e| io::Error::other(e.words)),
        Kind::Bytes(bytes) => bytes,
    };
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut out = fs::File::options().write(true).create(true).truncate(true).mode(file.mode).open(&fresh)?;
    io::Write::write_all(&mut out, bytes)?;
    // The umask does not count here.
    out.set_permissions(fs::Permissions::from_mode(file.mode))?;
    out.sync_all()?;
    fs::rename(&fresh, path)
}

fn told(lines: &[Line], args: &Args) -> String {
    let mut human = String::new();
    let (mut pages, mut renewed) = (0, 0);
    for line in lines {
        if line.path.to_string_lossy().contains("/man/man") {
            pages += 1;
            renewed += usize::from(matches!(line.done, Done::Written | Done::Removed));
            continue;
        }
        let words = match (line.done, args.dry_run) {
            (Done::Written, false) => "written",
            (Done::Written, true) => "would be written",
            (Done::Unchanged, _) => "unchanged",
            (Done::Kept, _) => "kept as it is",
            (Done::Removed, false) => "removed",
            (Done::Removed, true) => "would be removed",
            (Done::Absent, _) => "not there",
        };
        human.push_str(&format!("{}: {words}\n", line.path.display()));
    }
    let of_them = if args.uninstall { "there" } else { "new or other than before" };
    human.push_str(&format!("{pages} manual pages, {renewed} of them {of_them}\n"));
    if args.uninstall {
        human.push_str(LEFT);
    } else if !args.dry_run && !args.for_package {
        human.push_str(NEXT);
    }
    human
}

const LEFT: &str = "\nStop the service before, and tell systemd afterwards (`systemctl disable --now maildesk`, `systemctl daemon-reload`).\n\
    What is yours stays: /etc/maildesk with configuration and key, /var/lib/maildesk with the desk, and the user maildesk.\n";

const NEXT: &str = "\nNext, as root:\n  \
    systemd-sysusers maildesk.conf              makes the user maildesk\n  \
    systemd-tmpfiles --create maildesk.conf     gives its folders the right owners\n  \
    systemctl daemon-reload\n  \
    editor /etc/maildesk/config.toml            then: maildesk config check\n  \
    systemctl enable --now maildesk\n  \
    maildesk doctor\n\
    Keep a copy of /etc/maildesk/maildesk.key apart from the desk: without it the passwords in the store are lost.\n";
