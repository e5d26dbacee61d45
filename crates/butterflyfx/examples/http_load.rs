//! Loads of `scripts/bench_http` that wrk cannot make: batches, bulk, latency under bulk, thousands
//! of connections.
//!
//! ```console
//! $ cargo build --release --examples
//! $ target/release/examples/http_load batch target/release/butterflyfx 5
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, program, rest @ ..] = arguments.as_slice() else {
        return Err("give batch, bulk, tail or many, the server's program, and how many rounds".into());
    };
    let rounds = rest.first().map_or(Ok(5), |text| text.parse::<usize>())?;
    match mode.as_str() {
        "batch" => batch(program, rounds),
        "bulk" => bulk(program, rounds),
        "tail" => tail(program, rounds),
        "many" => many(program, rest.get(1).map_or(Ok(10_000), |text| text.parse())?),
        other => Err(format!("no mode {other}").into()),
    }
}

// ---- The server ---------------------------------------------------------------------------------

/// A running server; ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts the program on a free port; on these processors only, where some are named.
    fn start(program: &str, processors: Option<&str>) -> Outcome<Server> {
        let mut command = match processors {
            Some(list) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", list, program]);
                command
            }
            None => Command::new(program),
        };
        command.args(["serve", "--port", "0"]);
        if std::env::var_os("BUTTERFLYFX_DATA_DIR").is_none() {
            command.arg("--in-memory");
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.split("http://").nth(1).ok_or("the server does not say where it listens")?;
        Ok(Server { address: address.trim().parse()?, child })
    }

    /// Seconds of processor time it has used.
    fn processor_seconds(&self) -> Outcome<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // utime and stime, in hundredths.
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / 100.0)
    }

    /// Bytes resident.
    fn resident(&self) -> Outcome<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).unwrap_or_default().parse::<u64>()? * 1024)
    }

    fn client(&self) -> Outcome<Client> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, answer: Vec::new() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection.
struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

fn head(method: &str, path: &str, media: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n\r\n"
    )
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

impl Client {
    /// Sends a request and gives back the answer's body; anything but 200 or 201 is an error.
    fn post(&mut self, path: &str, media: &str, body: &[u8]) -> Outcome<&[u8]> {
        self.send(&head("POST", path, media, body.len()), body)
    }

    fn send(&mut self, head: &str, body: &[u8]) -> Outcome<&[u8]> {
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        self.read()
    }

    fn read(&mut self) -> Outcome<&[u8]> {
        self.answer.clear();
        let mut space = vec![0; 256 * 1024];
        let (mut start, mut end) = (0, usize::MAX);
        while self.answer.len() < end {
            let n = self.stream.read(&mut space)?;
            if n == 0 {
                return Err("the server closed".into());
            }
            self.answer.extend_from_slice(&space[..n]);
            if start == 0
                && let Some(at) = memchr::memmem::find(&self.answer, b"\r\n\r\n")
            {
                start = at + 4;
                end = start + length_of(&self.answer[..at]).ok_or("an answer without a length")?;
            }
        }
        if !self.answer.starts_with(b"HTTP/1.1 20") {
            return Err(String::from_utf8_lossy(&self.answer[..self.answer.len().min(500)]).into());
        }
        Ok(&self.answer[start..])
    }

    fn create(&mut self, code: &str) -> Outcome<String> {
        let body = format!("{{\"expression_type\":\"lambda\",\"expression_code\":\"{code}\"}}");
        let answer = self.post("/api/v1/substrates?on_conflict=return", JSON, body.as_bytes())?;
        let text = String::from_utf8_lossy(answer);
        let id = text.split("\"substrate_id\":\"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(id.ok_or("no identity")?.to_owned())
    }
}

fn length_of(head: &[u8]) -> Option<usize> {
    let name = b"\r\ncontent-length: ";
    let at = memchr::memmem::find(head, name)? + name.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Prints the median and the range.
fn show(what: &str, unit: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    let (first, last) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    let median = values.get(values.len() / 2).copied().unwrap_or(0.0);
    println!("{what:<44} {median:>9.3} {unit} (from {first:.3} to {last:.3})");
}

// ---- Batches of invocations -----------------------------------------------------------------------

fn batch(program: &str, rounds: usize) -> Outcome<()> {
    let server = Server::start(program, Some("0"))?;
    let mut client = server.client()?;
    println!(
        "M invocations in one second of the server's processor time; in brackets the range of the rounds"
    );
    let named = client.create("lambda x, y: x*y")?;
    let keywords = client.create("lambda **kw: kw.get('x', 0) * kw.get('y', 0)")?;
    let branch = client.create("lambda x, y: (x*1.08-y)*0.5 if x>y else x/2")?;
    let mut seed = 1;
    let mut ints = || random(&mut seed) % 1_000;
    let pairs: Vec<(u64, u64)> = (0..300_000).map(|_| (ints(), ints())).collect();
    let list = |each: &dyn Fn(&(u64, u64)) -> String| -> String {
        pairs.iter().map(each).collect::<Vec<_>>().join(",")
    };
    let rows = format!("{{\"rows\":[{}]}}", list(&|(x, y)| format!("{{\"x\":{x},\"y\":{y}}}")));
    let floats = format!("{{\"rows\":[{}]}}", list(&|(x, y)| format!("{{\"x\":{x}.25,\"y\":{y}.5}}")));
    let columns = format!(
        "{{\"columns\":{{\"x\":[{}],\"y\":[{}]}}}}",
        list(&|(x, _)| x.to_string()),
        list(&|(_, y)| y.to_string())
    );
    let some = pairs[..100_000].iter();
    let many: Vec<String> = some
        .map(|(x, y)| format!("{{\"substrate_id\":\"{named}\",\"parameters\":{{\"x\":{x},\"y\":{y}}}}}"))
        .collect();
    let many = format!("{{\"invocations\":[{}]}}", many.join(","));
    let at = |id: &str| format!("/api/v1/substrates/{id}/invoke/batch");
    let each = "/api/v1/substrates/batch/invoke".to_owned();
    for (what, path, body, count) in [
        ("rows, lambda x, y: x*y", at(&named), &rows, pairs.len()),
        ("rows, kw.get product", at(&keywords), &rows, pairs.len()),
        ("rows, floats, conditional formula", at(&branch), &floats, pairs.len()),
        ("columns, lambda x, y: x*y", at(&named), &columns, pairs.len()),
        ("invocations of x*y by identity", each, &many, 100_000),
    ] {
        client.post(&path, JSON, body.as_bytes())?;
        let (mut rates, mut walls) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (used, begun) = (server.processor_seconds()?, Instant::now());
            let mut done = 0;
            while begun.elapsed() < Duration::from_millis(1_000) {
                client.post(&path, JSON, body.as_bytes())?;
                done += count;
            }
            walls.push(done as f64 / begun.elapsed().as_secs_f64() / 1e6);
            rates.push(done as f64 / (server.processor_seconds()? - used) / 1e6);
        }
        show(what, "M/s of a core", &mut rates);
        show("    by the clock, client beside it", "M/s", &mut walls);
    }
    Ok(())
}

// ---- Bulk -------------------------------------------------------------------------------------------

const LINES: usize = 50_000;
const SUBSTRATES: &str = "/api/v1/substrates/batch?results=none";
const RELATIONSHIPS: &str = "/api/v1/relationships/batch?results=none&on_conflict=return";

/// Lines of the standard graph's substrates.
fn substrate_lines(first: u64, count: usize) -> String {
    let mut text = String::new();
    for i in first..first + count as u64 {
        text.push_str(&format!(
            "{{\"identity\":\"0x{:016X}\",\"expression_type\":\"lambda\",\"expression_code\":\"lambda **kw: kw.get('x', 0) * {i} + kw.get('y', 0)\",\"metadata\":{{\"name\":\"substrate_{i}\",\"description\":\"multiplies x by {i}\"}}}}\n",
            i + 1
        ));
    }
    text
}

fn relationship_lines(seed: &mut u64, substrates: u64, count: usize) -> String {
    let mut text = String::new();
    for _ in 0..count {
        let (source, target) = (random(seed) % substrates + 1, random(seed) % substrates + 1);
        text.push_str(&format!(
            "{{\"rel_type\":\"DEPENDENCY\",\"source_id\":\"0x{source:016X}\",\"target_id\":\"0x{target:016X}\"}}\n"
        ));
    }
    text
}

fn bulk(program: &str, rounds: usize) -> Outcome<()> {
    println!("M records in one second of the server's processor time, and by the clock");
    let mut rates: HashMap<&str, Vec<f64>> = HashMap::new();
    for _ in 0..rounds {
        let server = Server::start(program, None)?;
        let mut client = server.client()?;
        let mut seed = 7;
        let mut load = |path: &str, bodies: Vec<String>| -> Outcome<(f64, f64)> {
            let (used, begun) = (server.processor_seconds()?, Instant::now());
            for body in &bodies {
                client.post(path, NDJSON, body.as_bytes())?;
            }
            let count = (bodies.len() * LINES) as f64 / 1e6;
            Ok((count / (server.processor_seconds()? - used), count / begun.elapsed().as_secs_f64()))
        };
        let bodies = (0..6).map(|at| substrate_lines(at * LINES as u64, LINES)).collect();
        let new = load(SUBSTRATES, bodies)?;
        // Those that are there cost little in the engine: nearly all of it is HTTP and JSON.
        let bodies = (0..6).map(|at| substrate_lines(at * LINES as u64, LINES)).collect();
        let there = load("/api/v1/substrates/batch?results=none&on_conflict=return", bodies)?;
        let total = 6 * LINES as u64;
        let bodies = (0..20).map(|_| relationship_lines(&mut seed, total, LINES)).collect();
        let related = load(RELATIONSHIPS, bodies)?;
        let bad = "{\"rel_type\":\"DEPENDENCY\",\"source_id\":\"0x0000000000000001\",\"target_id\":\"0x0000000000000002\"}\n";
        load(RELATIONSHIPS, vec![bad.to_owned()])?;
        let bodies = (0..20).map(|_| bad.repeat(LINES)).collect();
        let known = load(RELATIONSHIPS, bodies)?;
        for (what, (core, clock)) in [
            ("substrates, new", new),
            ("substrates that are there", there),
            ("relationships, new", related),
            ("one relationship that is there", known),
        ] {
            rates.entry(what).or_default().push(core);
            rates
                .entry(match what {
                    "substrates, new" => "substrates, new, by the clock",
                    "relationships, new" => "relationships, new, by the clock",
                    _ => continue,
                })
                .or_default()
                .push(clock);
        }
    }
    let mut rates: Vec<_> = rates.into_iter().collect();
    rates.sort_by_key(|(what, _)| *what);
    for (what, values) in &mut rates {
        show(what, "M/s", values);
    }
    Ok(())
}

// ---- Latency under bulk -----------------------------------------------------------------------------

/// Single invocations, one each millisecond, on a connection that does nothing else; the latencies
/// in microseconds.
fn paced(client: &mut Client, path: &str, length: Duration) -> Outcome<Vec<f64>> {
    let body = b"{\"parameters\":{\"x\":6,\"y\":7}}";
    let begun = Instant::now();
    let mut latencies = Vec::new();
    let mut due = begun;
    while begun.elapsed() < length {
        due += Duration::from_millis(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        client.post(path, JSON, body)?;
        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

fn at(sorted: &[f64], share: f64) -> f64 {
    sorted.get(((sorted.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0.0)
}

fn tail(program: &str, rounds: usize) -> Outcome<()> {
    let server = Server::start(program, None)?;
    let mut client = server.client()?;
    let id = client.create("lambda **kw: kw.get('x', 0) * kw.get('y', 0)")?;
    let path = format!("/api/v1/substrates/{id}/invoke");
    let mut next = 0;
    beside(&server, &mut client, &path, rounds, "NDJSON is loaded", || {
        // Prepared beforehand: the client should not be what is measured.
        let substrates = |_| {
            next += 5_000;
            substrate_lines(next - 5_000, 5_000)
        };
        let bodies: Vec<String> = (0..40).map(substrates).collect();
        let mut seed = next;
        let links: Vec<String> =
            (0..40).map(|_| relationship_lines(&mut seed, next / 2 + 1, 10_000)).collect();
        let mut at = 0;
        move |client: &mut Client| -> Outcome<u64> {
            let again = "/api/v1/substrates/batch?results=none&on_conflict=return";
            client.post(again, NDJSON, bodies[at % 40].as_bytes())?;
            client.post(RELATIONSHIPS, NDJSON, links[at % 40].as_bytes())?;
            at += 1;
            Ok(15_000)
        }
    })?;
    if std::env::var_os("BUTTERFLYFX_DATA_DIR").is_some() {
        beside(&server, &mut client, &path, rounds, "backups are made", || {
            |client: &mut Client| -> Outcome<u64> {
                client.post("/api/v1/admin/backup", "application/json", b"")?;
                Ok(1)
            }
        })?;
    }
    Ok(())
}

/// The percentiles of single invocations, idle and while another client works without pause.
fn beside<W>(
    server: &Server,
    client: &mut Client,
    path: &str,
    rounds: usize,
    what: &str,
    mut worker: impl FnMut() -> W,
) -> Outcome<()>
where
    W: FnMut(&mut Client) -> Outcome<u64> + Send + 'static,
{
    let (mut idle, mut busy, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let calm = paced(client, path, Duration::from_secs(2))?;
        let over = Arc::new(AtomicBool::new(false));
        let loader = {
            let (over, mut work, mut client) = (Arc::clone(&over), worker(), server.client()?);
            std::thread::spawn(move || -> Outcome<u64> {
                let mut done = 0;
                while !over.load(Ordering::Relaxed) {
                    done += work(&mut client)?;
                }
                Ok(done)
            })
        };
        std::thread::sleep(Duration::from_millis(700));
        let loaded = paced(client, path, Duration::from_secs(2))?;
        over.store(true, Ordering::Relaxed);
        let done = loader.join().map_err(|_| "the loader panicked")??;
        println!(
            "idle p50 {:.0} p99 {:.0} us; while {what} p50 {:.0} p99 {:.0} p99.9 {:.0} us, {done} done",
            at(&calm, 0.5),
            at(&calm, 0.99),
            at(&loaded, 0.5),
            at(&loaded, 0.99),
            at(&loaded, 0.999)
        );
        idle.push(at(&calm, 0.99));
        busy.push(at(&loaded, 0.99));
        ratios.push(at(&loaded, 0.99) / at(&calm, 0.99));
    }
    show("idle p99", "us", &mut idle);
    show(&format!("p99 while {what}"), "us", &mut busy);
    show("ratio", "", &mut ratios);
    Ok(())
}

// ---- Connections --------------------------------------------------------------------------------------

fn many(program: &str, connections: usize) -> Outcome<()> {
    let server = Server::start(program, None)?;
    let id = server.client()?.create("lambda **kw: kw.get('x', 0) * kw.get('y', 0)")?;
    let body = "{\"parameters\":{\"x\":6,\"y\":7}}";
    let path = format!("/api/v1/substrates/{id}/invoke");
    let request = format!("{}{body}", head("POST", &path, JSON, body.len()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let before = server.resident()?;
        let begun = Instant::now();
        let mut streams = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut stream = tokio::net::TcpStream::connect(server.address).await?;
            stream.set_nodelay(true)?;
            // Each has had one answer, so that none is new.
            exchange(&mut stream, request.as_bytes()).await?;
            streams.push(stream);
        }
        let opened = begun.elapsed();
        let idle = server.resident()?;
        println!(
            "{connections} connections opened and answered once in {:.1} s, {} B resident each",
            opened.as_secs_f64(),
            (idle.saturating_sub(before)) / connections as u64
        );
        let active = connections / 2;
        let begun = Instant::now();
        let until = begun + Duration::from_secs(5);
        let request: Arc<[u8]> = request.as_bytes().into();
        let tasks: Vec<_> = streams
            .drain(..active)
            .map(|mut stream| {
                let request = Arc::clone(&request);
                tokio::spawn(async move {
                    let mut answered = 0_u64;
                    while Instant::now() < until {
                        exchange(&mut stream, &request).await?;
                        answered += 1;
                    }
                    Outcome::Ok((answered, stream))
                })
            })
            .collect();
        let (mut answered, mut errors, mut open) = (0, 0, Vec::new());
        for task in tasks {
            match task.await? {
                Ok((count, stream)) => {
                    answered += count;
                    open.push(stream);
                }
                Err(error) => {
                    errors += 1;
                    eprintln!("{error}");
                }
            }
        }
        let rate = answered as f64 / begun.elapsed().as_secs_f64();
        println!("{active} of them active for 5 s: {rate:.0} invocations/s, {errors} errors");
        // The others must still be there.
        for stream in &mut streams {
            exchange(stream, request.as_ref()).await?;
        }
        println!("the other {} still answer; {} B resident in all", streams.len(), server.resident()?);
        if errors > 0 { Err("there were errors".into()) } else { Ok(()) }
    })
}

async fn exchange(stream: &mut tokio::net::TcpStream, request: &[u8]) -> Outcome<()> {
    stream.write_all(request).await?;
    let mut answer = [0; 1024];
    let mut length = 0;
    loop {
        let n = stream.read(&mut answer[length..]).await?;
        length += n;
        let text = &answer[..length];
        if n == 0 || !text.starts_with(b"HTTP/1.1 200") {
            return Err(format!("answered {:?}", String::from_utf8_lossy(text)).into());
        }
        if let Some(end) = memchr::memmem::find(text, b"\r\n\r\n")
            && length_of(&text[..end]).is_some_and(|body| end + 4 + body == length)
        {
            return Ok(());
        }
    }
}
