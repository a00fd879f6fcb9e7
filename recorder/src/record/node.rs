//! What this machine calls itself.

use std::ffi::CStr;
use std::io;

use crate::tape::is_node_name;

/// Why there is no name for the node.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    /// The name given is no name of a node.
    #[error(
        "`{0}` is no name of a node: lower-case letters, digits, `-` and `.`, at most 253, beginning and ending with a letter or digit"
    )]
    Given(String),
    /// The host name is none either.
    #[error("the host name `{0}` is no name of a node; give the node's name in the cluster with `--node`")]
    Host(String),
}

/// Names and versions of the running system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Host name, as `uname -n` prints it.
    pub(super) host: String,
    /// Kernel release, as `uname -r` prints it.
    pub(super) release: String,
    /// Machine architecture, as `uname -m` prints it.
    pub(super) architecture: String,
}

impl Machine {
    /// Asks the kernel.
    pub(super) fn here() -> io::Result<Self> {
        // SAFETY: all-zero is a valid `utsname`.
        let mut names: libc::utsname = unsafe { std::mem::zeroed() };
        // SAFETY: `names` lives through the call.
        if unsafe { libc::uname(&raw mut names) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            host: text(&names.nodename),
            release: text(&names.release),
            architecture: text(&names.machine),
        })
    }
}

fn text(field: &[libc::c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|&char| char.to_ne_bytes()[0]).collect();
    let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

/// The name of the node's directory: as given, or else the host name in lower case, which is what kubelet registers.
pub(super) fn name(given: Option<&str>, host: &str) -> Result<String, NameError> {
    match given {
        Some(name) if is_node_name(name) => Ok(name.to_owned()),
        Some(name) => Err(NameError::Given(name.to_owned())),
        None => {
            let host = host.to_lowercase();
            if is_node_name(&host) {
                Ok(host)
            } else {
                Err(NameError::Host(host))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, NameError, name};

    #[test]
    fn names_are_those_of_nodes() {
        for good in ["n1", "ip-10-0-0-1.eu-west-1.compute.internal", "0"] {
            assert_eq!(name(Some(good), "x").unwrap(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "N1",
            "a_b",
            "-a",
            "a-",
            "a..b",
            "n 1",
            "n=1",
            &"a".repeat(254),
        ] {
            assert!(matches!(name(Some(bad), "x"), Err(NameError::Given(_))), "{bad}");
        }
    }

    #[test]
    fn a_host_name_is_lowered_and_checked() {
        assert_eq!(name(None, "Worker-1").unwrap(), "worker-1");
        let error = name(None, "my_host").unwrap_err().to_string();
        assert!(error.contains("--node"), "{error}");
    }

    #[test]
    fn this_machine_has_a_kernel() {
        let here = Machine::here().unwrap();
        assert!(!here.release.is_empty() && !here.architecture.is_empty());
    }
}
