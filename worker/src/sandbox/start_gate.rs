//! The moment before a program begins, of jobs that must not be run twice.
//!
//! A program cannot begin before its launcher was sent all of its input. So the gate is asked before that is sent,
//! when everything else is there: an attempt that ends without having passed it has not begun its program.

use futures_util::future::BoxFuture;
use jobs::Outcome;
use parking_lot::Mutex;

/// Notes that the program may begin from now on, where everybody finds it.
type Note<'a> = Box<dyn Fn() -> BoxFuture<'a, Result<(), Outcome>> + Send + Sync + 'a>;

/// Asked before a program may begin.
pub struct StartGate<'a> {
    note: Note<'a>,
    state: Mutex<GateState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GateState {
    NotPassed,
    Passed,
    Refused(Outcome),
}

impl std::fmt::Debug for StartGate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StartGate").field(&*self.state.lock()).finish()
    }
}

impl<'a> StartGate<'a> {
    /// A gate that lets the program begin once this was noted. It may be noted more than once, for a container may
    /// be lost before the program began in it.
    pub fn new<F: Future<Output = Result<(), Outcome>> + Send + 'a>(
        note: impl Fn() -> F + Send + Sync + 'a,
    ) -> Self {
        Self { note: Box::new(move || Box::pin(note())), state: Mutex::new(GateState::NotPassed) }
    }

    /// Whether the program may begin.
    pub(super) async fn pass(&self) -> bool {
        let noted = (self.note)().await;
        let may_begin = noted.is_ok();
        *self.state.lock() = noted.map_or_else(GateState::Refused, |()| GateState::Passed);
        may_begin
    }

    /// Whether the program may have begun.
    pub fn is_passed(&self) -> bool {
        *self.state.lock() == GateState::Passed
    }

    /// Why the program was not let begin; `None` where it was, or it did not come to that.
    pub fn refusal(&self) -> Option<Outcome> {
        match &*self.state.lock() {
            GateState::NotPassed | GateState::Passed => None,
            GateState::Refused(outcome) => Some(outcome.clone()),
        }
    }
}
