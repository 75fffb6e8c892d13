//! The `gencharge` program.

fn main() -> std::process::ExitCode {
    gencharge::cli::main()
}
