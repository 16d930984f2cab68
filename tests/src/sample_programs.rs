//! Sample programs with different outcomes, by number.

use crate::function::Function;

/// Every third program fails with this.
const FAILS: i32 = 3;

/// The program of this number, the state that a forge shows for it, and the beginning of its description.
pub fn sample_program(n: usize) -> (Function, &'static str, String) {
    if n.is_multiple_of(3) {
        let function = Function::python(&format!("import sys\nprint({n})\nsys.exit({FAILS})"));
        (function, "failure", format!("exit code {FAILS}"))
    } else {
        (Function::python(&format!("print({n})")), "success", "finished in ".to_owned())
    }
}
