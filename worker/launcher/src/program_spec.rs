//! The program that a launcher runs, sent before the tar of its files.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A longer spec is refused: arguments and environment of a program may have 2 MiB.
const MAX_SPEC_BYTES: u32 = 8 * 1024 * 1024;

/// One program to run in this container.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSpec {
    /// Program and arguments, exactly; the program is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment. It may hold secrets, so it is never printed.
    pub env: Vec<(String, String)>,
    /// Where the tar is unpacked and the program starts.
    pub cwd: PathBuf,
    /// How long the program may run, in milliseconds from its start.
    pub deadline_ms: u64,
    /// How much it may write to both outputs together.
    pub output_bytes: u64,
    /// Symbolic links to make once the tar is unpacked.
    pub links: Vec<Link>,
    /// The directory that the program fills, if that is what it is for.
    pub fill: Option<Fill>,
}

/// A symbolic link, made only if its target is there and nothing is in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The link itself.
    pub path: PathBuf,
    /// What it leads to.
    pub target: PathBuf,
}

/// A directory whose size is watched, and which everyone may read in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The directory.
    pub path: PathBuf,
    /// The program is ended when there is more than this in it.
    pub limit_bytes: u64,
}

/// Without the values of the environment, which may be secrets.
impl fmt::Debug for ProgramSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.env.iter().map(|(name, _)| name);
        f.debug_struct("ProgramSpec")
            .field("argv", &self.argv)
            .field("env", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl ProgramSpec {
    /// The spec as it is sent: a length (u32, big endian), then JSON.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("strings and numbers are JSON");
        let mut bytes = (json.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&json);
        bytes
    }
}

/// Reads a spec; `None` if the input ended before it began.
pub fn read_spec(input: &mut impl Read) -> io::Result<Option<ProgramSpec>> {
    let mut length = [0; 4];
    match input.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => input.read_exact(&mut length[1..])?,
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_SPEC_BYTES {
        return Err(io::Error::other("the spec are too long"));
    }
    let mut json = vec![0; length as usize];
    input.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

/// Reads the length (u64, big endian, in bytes) that stands before the tar, and before the program's input.
pub fn read_length(input: &mut impl Read) -> io::Result<u64> {
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    Ok(u64::from_be_bytes(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_travels_and_arguments_stay_exact() {
        let spec = ProgramSpec {
            argv: vec!["a b".into(), "$(c)\n\"'".into(), String::new()],
            env: vec![("A".into(), "=x".into())],
            cwd: "/work".into(),
            deadline_ms: 60_000,
            output_bytes: 1024,
            links: vec![Link { path: "/work/n".into(), target: "/env/n".into() }],
            fill: Some(Fill { path: "/env".into(), limit_bytes: 9 }),
        };
        let bytes = spec.encode();
        assert_eq!(read_spec(&mut bytes.as_slice()).unwrap(), Some(spec));
    }

    #[test]
    fn an_input_that_ends_at_once_is_no_spec_and_half_a_spec_is_an_error() {
        assert_eq!(read_spec(&mut io::empty()).unwrap(), None);
        assert!(read_spec(&mut [0, 0].as_slice()).is_err());
    }
}
