//! One runtime for the lab's servers, which outlive any single test's runtime.
use std::sync::LazyLock;
use tokio::runtime::{Builder, Handle, Runtime};
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("lab")
        .enable_all()
        .build()
        .expect("a runtime for the lab's servers")
});
/// Where the lab's servers run.
pub fn handle() -> Handle {
    RUNTIME.handle().clone()
}
