//! A server as a child that cannot outlive the test run.
//!
//! A shell holds it: it starts the server, reads standard input until the other end closes, and then stops the server
//! and removes its folder. The other end is a pipe of the test process, so the kernel closes it however that process
//! ends, by a panic or `kill -9` too.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const KEEPER: &str = r#"
trap '' INT
folder=$0 signal=$1
shift
cd "$folder"
"$@" >"$folder/log" 2>&1 &
echo $! >"$folder/pid.new"
mv "$folder/pid.new" "$folder/pid"
cat >/dev/null
kill -"$signal" $! 2>/dev/null
wait
cd /
rm -rf "$folder"
"#;

/// A running server with a folder of its own.
pub struct Peer {
    keeper: Child,
    pub folder: PathBuf,
}

/// Who a server runs as.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// The account of that name, if the test run is root and so can become it. `None` means: run as you are.
    pub fn to_become(name: &str) -> Option<User> {
        (id(&["-u"])? == 0).then_some(())?;
        Some(User { uid: id(&["-u", name])?, gid: id(&["-g", name])? })
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let answer = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(answer.stdout).ok()?.trim().parse().ok()
}

/// A port that is free now. Whoever listens on it must be ready to lose the race and ask for another.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port on the loopback").port()
}

/// A new folder under the system's temporary one, owned by `user`.
pub fn new_folder(name: &str, user: Option<User>) -> io::Result<PathBuf> {
    new_folder_in(&std::env::temp_dir(), name, user)
}

/// The same elsewhere.
pub fn new_folder_in(parent: &Path, name: &str, user: Option<User>) -> io::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix(&format!("maildesk-{name}-")).tempdir_in(parent)?;
    let folder = folder.keep().canonicalize()?;
    if let Some(user) = user {
        std::os::unix::fs::chown(&folder, Some(user.uid), Some(user.gid))?;
    }
    Ok(folder)
}

impl Peer {
    /// Starts `command` in `folder`, which it owns from now on. `signal` is what stops it.
    pub fn start(folder: &Path, user: Option<User>, signal: &str, command: &[&str]) -> io::Result<Peer> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(KEEPER).arg(folder).arg(signal).args(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::null());
        if let Some(user) = user {
            shell.uid(user.uid).gid(user.gid);
        }
        Ok(Peer { keeper: shell.spawn()?, folder: folder.to_owned() })
    }

    /// The server's process, once the shell has started it.
    pub fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.folder.join("pid")).ok()?.trim().parse().ok()
    }

    /// Whether the server has ended by itself. Its shell has not waited for it yet, so it is a zombie then.
    pub fn has_ended(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    }

    /// What the server has printed.
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // A shell that cannot be waited for has nothing left that this process could do about it.
        if let Err(e) = self.keeper.wait() {
            super::say(&format!("a peer's shell: {e}\n"));
        }
    }
}
