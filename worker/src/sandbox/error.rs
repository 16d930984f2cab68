//! What can go wrong on our side. A program's own failure is an [`End`], never one of these.

use std::path::PathBuf;

use super::End;

/// Our fault: Docker, the machine, or the definition of a runner image.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Docker refused or did not answer.
    #[error("docker: cannot {doing}")]
    Docker {
        /// What was asked of it.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Box<bollard::errors::Error>,
    },
    /// The daemon is too old or not reached by a socket.
    #[error("docker: {0}")]
    Unusable(String),
    /// A container was started, but its launcher did not speak.
    #[error("the container's launcher did not answer: {0}")]
    Launcher(String),
    /// An environment was asked for in a language that has none.
    #[error("{0} has nothing to prepare")]
    NothingToPrepare(String),
    /// A file of ours cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The tree of a job cannot be read back.
    #[error("cannot read the job's files")]
    Tree(#[source] std::io::Error),
    /// A runner image's definition is wrong.
    #[error(transparent)]
    Runner(#[from] crate::runner::RunnerError),
}

/// Puts what was being done before what Docker said.
pub(crate) trait Doing<T> {
    /// `doing` completes "cannot …".
    fn doing(self, doing: &'static str) -> Result<T, SandboxError>;
}

impl<T> Doing<T> for Result<T, bollard::errors::Error> {
    fn doing(self, doing: &'static str) -> Result<T, SandboxError> {
        self.map_err(|source| SandboxError::Docker { doing, source: Box::new(source) })
    }
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The repository's fault: a package that does not exist or build, or a limit.
    #[error("{sentence}")]
    Function {
        /// What happened, in one sentence.
        sentence: String,
        /// How the command ended.
        end: Box<End>,
    },
    /// Our fault.
    #[error(transparent)]
    Service(#[from] SandboxError),
    /// The caller asked for it to be ended.
    #[error("stopped")]
    Stopped,
}
