//! The yardstick of `scripts/bench_http`: hyper alone on a port, which reads a request's body and
//! answers a fixed one of the size of an invocation's.
//!
//! ```console
//! $ cargo run --release --example bare_hyper -- 8001
//! ```

use butterflyfx::bench::http::bare_server;
use bytes::Bytes;

/// The allocator of the program, so that the two differ in nothing but the work.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ANSWER: &[u8] = br#"{"substrate_id":"0x274D3DCBDBF9E7DF","result":42,"invocation_time_ms":0.001234,"cost":{"steps":4,"bytes":0},"cached":false}"#;

fn main() -> Result<(), String> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8001".to_owned());
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let address = bare_server(&runtime, &format!("127.0.0.1:{port}"), Bytes::from_static(ANSWER))?;
    println!("bare hyper listens on http://{address}");
    runtime.block_on(std::future::pending())
}
