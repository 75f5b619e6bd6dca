//! One runtime for the lab's servers, which outlive the runtime of any single test.
use std::sync::LazyLock;
use tokio::runtime::{Builder, Handle, Runtime};
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("lab")
        .enable_all()
        .build()
        .expect("the runtime of the lab's servers starts")
});
/// The runtime of the lab's servers.
pub fn handle() -> Handle {
    RUNTIME.handle().clone()
}
