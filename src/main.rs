//! The door: everything else is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    bearward::cli::main()
}
