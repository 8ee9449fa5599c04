//! What is installed, and where: the same list for `maildesk install` and for the package.

use std::path::{Path, PathBuf};

use clap_complete::Shell;

use super::super::config_file::script;
use super::super::man;
use super::super::output::CliError;
use crate::config::example;

const UNIT: &str = include_str!("../../../systemd/maildesk.service");
const SYSUSERS: &str = include_str!("../../../systemd/maildesk.sysusers");
const TMPFILES: &str = include_str!("../../../systemd/maildesk.tmpfiles");

/// Where the unit says that the program is.
const UNIT_PREFIX: &str = "/usr";

pub(super) struct File {
    pub path: PathBuf,
    pub kind: Kind,
    pub mode: u32,
    /// The operator's own once it is there: never written over.
    pub is_operators: bool,
}

pub(super) enum Kind {
    Bytes(Vec<u8>),
    /// A fresh sealing key.
    Key,
}

fn file(path: PathBuf, bytes: impl Into<Vec<u8>>) -> File {
    File { path, kind: Kind::Bytes(bytes.into()), mode: 0o644, is_operators: false }
}

/// All of it, below `prefix` and /etc.
pub(super) fn files(prefix: &Path, for_package: bool) -> Result<Vec<File>, CliError> {
    let unread = |e| CliError::unavailable(format!("this program's own file: {e}"));
    let program = std::env::current_exe().and_then(std::fs::read).map_err(unread)?;
    let mut files = vec![
        File { mode: 0o755, ..file(prefix.join("bin/maildesk"), program) },
        file(prefix.join("lib/systemd/system/maildesk.service"), unit(prefix)),
        file(prefix.join("lib/sysusers.d/maildesk.conf"), SYSUSERS),
        file(prefix.join("lib/tmpfiles.d/maildesk.conf"), TMPFILES),
        file(prefix.join("share/bash-completion/completions/maildesk"), script(Shell::Bash)),
        file(prefix.join(zsh_folder(prefix)).join("_maildesk"), script(Shell::Zsh)),
        file(prefix.join("share/fish/vendor_completions.d/maildesk.fish"), script(Shell::Fish)),
        file(prefix.join("share/doc/maildesk/config.example.toml"), example::example()),
    ];
    for page in man::pages() {
        let folder = prefix.join(format!("share/man/man{}", page.section));
        files.push(file(folder.join(&page.name), page.text));
    }
    let config = file("/etc/maildesk/config.toml".into(), example::installed());
    files.push(File { mode: 0o640, is_operators: true, ..config });
    if !for_package {
        let path = "/etc/maildesk/maildesk.key".into();
        files.push(File { path, kind: Kind::Key, mode: 0o600, is_operators: true });
    }
    Ok(files)
}

fn unit(prefix: &Path) -> String {
    let (packaged, here) = (format!("={UNIT_PREFIX}/bin/"), format!("={}/bin/", prefix.display()));
    UNIT.replace(&packaged, &here)
}

/// Where zsh looks: what a distribution ships lies apart from what an admin puts there.
fn zsh_folder(prefix: &Path) -> &'static str {
    if prefix == Path::new("/usr") { "share/zsh/vendor-completions" } else { "share/zsh/site-functions" }
}
