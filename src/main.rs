//! The `gencharge` program.

/// A request allocates on one thread and frees on others; glibc's allocator spends a tenth of the program's time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    gencharge::cli::main()
}
