//! `butterflyfx export` and `import`: everything in a database as lines of JSON, and back.
//!
//! A line is a substrate or relationship as the API answers it, with its creation number, so that what
//! is imported has the same order, times and versions. The last line holds counts and digest, which an
//! import checks. An import that was interrupted goes on where it stopped: what is in the data folder
//! already is passed over.

use super::store::{data_dir, failed};
use super::{Exit, complain, wrong_settings};
use crate::config::{Config, Sources};
use crate::http::time;
use butterflyfx_engine::Engine;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{RelationshipType, Substrate, Timestamp};
use butterflyfx_engine::record::{Change, IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::json::{self, write_document, write_text};
use butterflyfx_store::{DATABASE_FILE, KeptAnswer, Next, Receive, Recovered, Store, StoreError};
use clap::{Arg, ArgMatches, Command};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What the first line says.
const FORMAT: &str = "butterflyfx-export";
const VERSION: i64 = 1;

/// Records that are committed together.
const BATCH: usize = 8192;

/// Levels that a line may be nested: more than the API ever took.
const DEPTH_MAX: usize = 512;

/// The commands.
pub(super) fn commands() -> [Command; 2] {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).value_name(name).value_parser(clap::value_parser!(PathBuf)).help(help)
    };
    [
        Command::new("export")
            .about("Write everything in a database as lines of JSON, also while a server writes to it")
            .args(data_dir())
            .arg(path("file", "The file to write; standard output unless given")),
        Command::new("import")
            .about(
                "Read lines that `export` wrote into a data folder; goes on where an earlier import stopped",
            )
            .args(data_dir())
            .arg(path("file", "The file, or - for standard input").required(true)),
    ]
}

/// Runs one of the commands.
pub(super) fn run(name: &str, matches: &ArgMatches, sources: &Sources) -> Exit {
    let config = match sources.resolve() {
        Ok(config) => config,
        Err(error) => return wrong_settings(&error),
    };
    let outcome = match (name, matches.get_one::<PathBuf>("file")) {
        ("import", Some(file)) => import(file, &config),
        (_, file) => export(&config.data_dir, file.map(PathBuf::as_path)),
    };
    match outcome {
        Ok(sentence) => {
            eprintln!("{sentence}");
            Exit::Ok
        }
        Err(Failure::Store(error)) => failed(&error),
        Err(Failure::Sentence(sentence)) => {
            complain(&sentence);
            Exit::Error
        }
    }
}

/// Why it did not work.
enum Failure {
    Store(StoreError),
    Sentence(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

fn wrong<T>(sentence: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Sentence(sentence.into()))
}

/// A bar on a terminal; nothing elsewhere.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

// ---- Export ---------------------------------------------------------------------------------------

/// Writes each record as a line.
struct Lines<W> {
    out: W,
    line: String,
    /// Identities of substrates, by creation number, which comes ascending.
    ids: Vec<(u64, SubstrateId)>,
    bar: ProgressBar,
}

impl<W: Write> Lines<W> {
    fn end(&mut self) -> Result<(), String> {
        self.line.push('\n');
        let written = self.out.write_all(self.line.as_bytes());
        self.line.clear();
        self.bar.inc(1);
        written.map_err(|error| format!("writing: {error}"))
    }

    fn id(&self, sequence: u64) -> Result<SubstrateId, String> {
        let found = self.ids.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
        found.map(|at| self.ids[at].1).map_err(|_| format!("no substrate has number {sequence}"))
    }

    fn time(&mut self, name: &str, at: Timestamp) {
        let _ = write!(self.line, ",\"{name}\":\"");
        time::write(at, &mut self.line);
        self.line.push('"');
    }

    fn document(&mut self, name: &str, document: &Document) {
        let _ = write!(self.line, ",\"{name}\":");
        write_document(document, &mut self.line);
    }
}

impl<W: Write> Receive for Lines<W> {
    fn begin_again(&mut self) -> Result<(), String> {
        Err("lines are written already".to_owned())
    }

    fn substrates(&mut self, records: Vec<SubstrateRecord>) -> Result<(), String> {
        for SubstrateRecord { sequence, substrate: one } in records {
            self.ids.push((sequence, one.id));
            let _ = write!(
                self.line,
                "{{\"number\":{sequence},\"substrate_id\":\"{}\",\"expression_type\":\"{}\",\"expression_code\":",
                one.id,
                one.expression_type.name()
            );
            write_text(&one.expression_code, &mut self.line);
            self.document("metadata", &one.metadata);
            let _ = write!(self.line, ",\"version\":{}", one.version);
            self.time("created_at", one.created_at);
            self.time("updated_at", one.updated_at);
            self.line.push('}');
            self.end()?;
        }
        Ok(())
    }

    fn relationships(&mut self, records: Vec<RelationshipRecord>) -> Result<(), String> {
        for one in records {
            let (source, target) = (self.id(one.source)?, self.id(one.target)?);
            let _ = write!(
                self.line,
                "{{\"number\":{},\"rel_type\":\"{}\",\"source_id\":\"{source}\",\"target_id\":\"{target}\",\"bidirectional\":{}",
                one.sequence,
                one.rel_type.name(),
                one.bidirectional
            );
            self.document("constraints", &one.constraints);
            self.document("lineage", &one.lineage);
            self.time("created_at", one.created_at);
            self.line.push('}');
            self.end()?;
        }
        Ok(())
    }

    fn index(&mut self, record: IndexRecord) -> Result<(), String> {
        self.line.push_str("{\"metadata_key\":");
        write_text(&record.metadata_key, &mut self.line);
        self.time("created_at", record.created_at);
        self.line.push('}');
        self.end()
    }

    fn kept_answers(&mut self, _: Vec<KeptAnswer>) -> Result<(), String> {
        Ok(())
    }
}

fn export(from: &Path, to: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = to else {
        return export_to(Box::new(std::io::stdout().lock()), from, "standard output");
    };
    let name = path.display().to_string();
    match File::create_new(path) {
        Ok(file) => export_to(Box::new(file), from, &name).inspect_err(|_| {
            // What is there under its name is whole.
            let _ = std::fs::remove_file(path);
        }),
        Err(error) => wrong(format!("{name}: {error}")),
    }
}

fn export_to(out: Box<dyn Write>, from: &Path, name: &str) -> Result<String, Failure> {
    let bar = bar(0, "{spinner} {human_pos} lines, {per_sec}, {elapsed}");
    let mut lines = Lines { out: BufWriter::new(out), line: String::new(), ids: Vec::new(), bar };
    let _ = write!(lines.line, "{{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}");
    lines.end().map_err(Failure::Sentence)?;
    let read = butterflyfx_store::read(from, &mut lines).map_err(|error| match error {
        StoreError::Refused(sentence) => Failure::Sentence(format!("{name}: {sentence}")),
        other => Failure::Store(other),
    });
    let Recovered { counts, digest, next, .. } = read?;
    let _ = write!(
        lines.line,
        "{{\"substrates\":{},\"relationships\":{},\"indexes\":{},\"next_substrate\":{},\"next_relationship\":{},\"digest\":\"{digest}\"}}",
        counts.substrates, counts.relationships, counts.indexes, next.substrate, next.relationship
    );
    lines.end().map_err(Failure::Sentence)?;
    if let Err(error) = lines.out.flush() {
        return wrong(format!("{name}: writing: {error}"));
    }
    lines.bar.finish_and_clear();
    Ok(format!(
        "exported {} substrates, {} relationships, {} indexes; digest {digest}",
        counts.substrates, counts.relationships, counts.indexes
    ))
}

// ---- Import ---------------------------------------------------------------------------------------

/// A line, read.
enum Line {
    Head,
    Substrate(SubstrateRecord),
    /// Ends as identities.
    Relationship(RelationshipRecord, SubstrateId, SubstrateId),
    Index(IndexRecord),
    End {
        digest: String,
        next: Next,
    },
}

/// The parts of a line; `None` where one is missing or of another kind.
fn read_line(line: &Document) -> Option<Line> {
    let text = |name: &str| match line.get(name)? {
        Document::Text(text) => Some(&**text),
        _ => None,
    };
    let number = |name: &str| match line.get(name)? {
        Document::Int(number) => u64::try_from(*number).ok(),
        Document::BigInt(text) => text.parse().ok(),
        _ => None,
    };
    let at = |name: &str| time::parse(text(name)?);
    if let Some(format) = line.get("format") {
        let is_ours =
            *format == Document::Text(FORMAT.into()) && line.get("version") == Some(&Document::Int(VERSION));
        return is_ours.then_some(Line::Head);
    }
    if let Some(digest) = text("digest") {
        let next = Next { substrate: number("next_substrate")?, relationship: number("next_relationship")? };
        return Some(Line::End { digest: digest.to_owned(), next });
    }
    if let Some(metadata_key) = text("metadata_key") {
        let metadata_key = metadata_key.to_owned();
        return Some(Line::Index(IndexRecord { metadata_key, created_at: at("created_at")? }));
    }
    let sequence = number("number")?;
    if let Some(id) = text("substrate_id") {
        return Some(Line::Substrate(SubstrateRecord {
            sequence,
            substrate: Substrate {
                id: SubstrateId::parse(id)?,
                created_at: at("created_at")?,
                updated_at: at("updated_at")?,
                version: u32::try_from(number("version")?).ok()?,
                expression_type: ExpressionType::from_name(text("expression_type")?)?,
                expression_code: text("expression_code")?.to_owned(),
                metadata: line.get("metadata")?.clone(),
            },
        }));
    }
    let record = RelationshipRecord {
        sequence,
        rel_type: RelationshipType::from_name(text("rel_type")?)?,
        bidirectional: *line.get("bidirectional")? == Document::Bool(true),
        source: 0,
        target: 0,
        constraints: line.get("constraints")?.clone(),
        lineage: line.get("lineage")?.clone(),
        created_at: at("created_at")?,
    };
    Some(Line::Relationship(
        record,
        SubstrateId::parse(text("source_id")?)?,
        SubstrateId::parse(text("target_id")?)?,
    ))
}

/// What is imported into.
struct Import {
    store: Store,
    engine: Engine,
    /// Creation numbers of substrates by identity.
    numbers: HashMap<u64, u64>,
    waiting: Vec<Change>,
    passed_over: u64,
}

/// Takes what an earlier import has stored.
struct Earlier<'a> {
    engine: &'a Engine,
    numbers: &'a mut HashMap<u64, u64>,
}

impl Receive for Earlier<'_> {
    fn begin_again(&mut self) -> Result<(), String> {
        self.engine.begin_restoring();
        self.numbers.clear();
        Ok(())
    }

    fn substrates(&mut self, records: Vec<SubstrateRecord>) -> Result<(), String> {
        self.numbers.extend(records.iter().map(|one| (one.substrate.id.0, one.sequence)));
        self.engine.restore_substrates(&records).map_err(|error| format!("{error:?}"))
    }

    fn relationships(&mut self, records: Vec<RelationshipRecord>) -> Result<(), String> {
        self.engine.restore_relationships(&records).map_err(|error| format!("{error:?}"))
    }

    fn index(&mut self, record: IndexRecord) -> Result<(), String> {
        self.engine.restore_index(&record);
        Ok(())
    }

    fn kept_answers(&mut self, _: Vec<KeptAnswer>) -> Result<(), String> {
        Ok(())
    }
}

impl Import {
    fn open(config: &Config) -> Result<Import, Failure> {
        let mut store = Store::open(&config.data_dir, &config.store_options())?;
        let engine = Engine::new(config.limits.clone());
        let mut numbers = HashMap::new();
        engine.begin_restoring();
        store.recover(&mut Earlier { engine: &engine, numbers: &mut numbers })?;
        engine.end_restoring().map_err(|error| Failure::Sentence(format!("{error:?}")))?;
        Ok(Import { store, engine, numbers, waiting: Vec::new(), passed_over: 0 })
    }

    fn take(&mut self, line: Line) -> Result<(), Failure> {
        let next = self.store.next();
        let change = match line {
            Line::Substrate(one) => {
                if one.sequence < next.substrate {
                    // Another database would pass unseen otherwise.
                    if self.numbers.get(&one.substrate.id.0) != Some(&one.sequence) {
                        return wrong(format!(
                            "the data folder has something else under number {} than substrate {}: an import goes into an empty folder, or one where the same import stopped",
                            one.sequence, one.substrate.id
                        ));
                    }
                    self.passed_over += 1;
                    return Ok(());
                }
                self.numbers.insert(one.substrate.id.0, one.sequence);
                self.restored(self.engine.restore_substrates(std::slice::from_ref(&one)))?;
                Change::SubstrateCreated(one)
            }
            Line::Relationship(mut one, source, target) => {
                if one.sequence < next.relationship {
                    self.passed_over += 1;
                    return Ok(());
                }
                for (end, id) in [(&mut one.source, source), (&mut one.target, target)] {
                    match self.numbers.get(&id.0) {
                        Some(number) => *end = *number,
                        None => {
                            return wrong(format!("relationship number {} has no end {id}", one.sequence));
                        }
                    }
                }
                self.restored(self.engine.restore_relationships(std::slice::from_ref(&one)))?;
                Change::RelationshipCreated(one)
            }
            Line::Index(one) => {
                if self.engine.indexes().iter().any(|there| there.metadata_key == one.metadata_key) {
                    self.passed_over += 1;
                    return Ok(());
                }
                self.engine.restore_index(&one);
                Change::IndexDeclared(one)
            }
            Line::Head | Line::End { .. } => return Ok(()),
        };
        self.waiting.push(change);
        if self.waiting.len() >= BATCH { self.commit() } else { Ok(()) }
    }

    fn restored(&self, outcome: butterflyfx_engine::engine::Result<()>) -> Result<(), Failure> {
        outcome.map_err(|error| match error {
            butterflyfx_engine::error::EngineError::Records(sentence) => Failure::Sentence(sentence),
            other => Failure::Sentence(format!("{other:?}")),
        })
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.store.commit(&self.waiting, &[])?;
        self.waiting.clear();
        // As it is checkpointed between two commits, nobody waits.
        if self.store.wal_bytes() > 64 * 1024 * 1024 {
            self.store.checkpoint()?;
        }
        Ok(())
    }
}

fn import(from: &Path, config: &Config) -> Result<String, Failure> {
    let (input, bytes): (Box<dyn Read>, u64) = if from.as_os_str() == "-" {
        (Box::new(std::io::stdin().lock()), 0)
    } else {
        match File::open(from).and_then(|file| file.metadata().map(|data| (file, data.len()))) {
            Ok((file, bytes)) => (Box::new(file), bytes),
            Err(error) => return wrong(format!("{}: {error}", from.display())),
        }
    };
    let bar = bar(bytes, "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    let mut input = BufReader::with_capacity(1 << 20, bar.wrap_read(input));
    let folder = &config.data_dir;
    let mut import = Import::open(config)?;
    let (mut text, mut number, mut end) = (Vec::new(), 0_u64, None);
    loop {
        text.clear();
        match input.read_until(b'\n', &mut text) {
            Ok(0) => break,
            Ok(_) => number += 1,
            Err(error) => return wrong(format!("{}: {error}", from.display())),
        }
        let at =
            |sentence: String| Failure::Sentence(format!("{}, line {number}: {sentence}", from.display()));
        if end.is_some() {
            return Err(at("there is more after the last line of an export".to_owned()));
        }
        let document = json::read_document(&text, DEPTH_MAX).map_err(|error| at(error.message))?;
        let line = read_line(&document).ok_or_else(|| {
            at(if number == 1 {
                format!("this is no export: its first line must be {{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}")
            } else {
                "this is neither a substrate, a relationship, an index nor the last line of an export".to_owned()
            })
        })?;
        match (number, line) {
            (1, Line::Head) => {}
            (1, _) | (_, Line::Head) => {
                return Err(at("the head of an export must be its first line, and only that".to_owned()));
            }
            (_, Line::End { digest, next }) => end = Some((digest, next)),
            (_, line) => import.take(line).map_err(|failure| match failure {
                Failure::Sentence(sentence) => at(sentence),
                store => store,
            })?,
        }
    }
    import.commit()?;
    bar.finish_and_clear();
    let Some((digest, next)) = end else {
        return wrong(format!(
            "{} ends before the last line of an export; what was read is stored, and importing the whole file goes on from there",
            from.display()
        ));
    };
    let found = import.store.digest().to_string();
    if found != digest {
        return wrong(format!(
            "the digest is {found} and the export's is {digest}: {} does not hold the same as the export",
            folder.join(DATABASE_FILE).display()
        ));
    }
    import.store.raise_next(next)?;
    let counts = import.store.counts();
    let passed_over = import.passed_over;
    import.store.close()?;
    Ok(format!(
        "imported {} substrates, {} relationships, {} indexes ({passed_over} were there already); digest {digest}",
        counts.substrates, counts.relationships, counts.indexes
    ))
}
