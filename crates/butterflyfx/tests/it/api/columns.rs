//! One formula over tables: what goes in as Arrow or CSV comes out as it should, whole or in pieces, and what is wrong is told.

mod arrow;
mod backlog;
mod csv;
mod hostile;
mod stream;

use super::client::Reply;
use super::{Api, create, relate};
use crate::durable::process::Server;
use crate::support::{Folder, PATIENCE};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use serde_json::json;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

const ARROW: &str = "application/vnd.apache.arrow.stream";
const CSV: &str = "text/csv";

/// A lambda's way in.
fn lambda(api: &Api, code: &str) -> String {
    let id = create(api, "lambda", code, json!({}));
    format!("POST /api/v1/substrates/{id}/invoke/batch")
}

/// The program in a process of its own, since tests beside this one use memory, too; with a lambda.
struct Process {
    server: Server,
    path: String,
    _folder: Folder,
}

impl Process {
    fn new(code: &str) -> Process {
        let folder = Folder::new();
        let server = Server::start(&Path::new(folder.path()).join("data"), &[]);
        let body = json!({"expression_type": "lambda", "expression_code": code}).to_string();
        let made = server.ask("POST /api/v1/substrates", &body).json();
        let id = made["substrate_id"].as_str().expect("an id");
        Process { path: format!("/api/v1/substrates/{id}/invoke/batch"), server, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }

    /// A gauge; `None` where the system does not tell.
    fn gauge(&self, name: &str) -> Option<u64> {
        let metrics = self.server.ask("GET /metrics", "").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
        line.parse().ok()
    }

    fn memory(&self) -> Option<u64> {
        self.gauge("butterflyfx_process_resident_memory_bytes")
    }
}

/// A stream of batches with the same columns.
fn stream_of(batches: &[Vec<(&str, ArrayRef)>]) -> Vec<u8> {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(batches[0].iter().map(field).collect::<Vec<_>>()));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).expect("a writer");
    for batch in batches {
        let columns: Vec<ArrayRef> = batch.iter().map(|(_, array)| Arc::clone(array)).collect();
        let rows = columns.first().map_or(3, |column| column.len());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options);
        writer.write(&batch.expect("a batch")).expect("written");
    }
    writer.finish().expect("ended");
    writer.into_inner().expect("the stream")
}

/// An answer in a line: `int64: 1 null | 1: ZeroDivisionError: division by zero`, or `422 code row: detail`.
#[track_caller]
fn shown(reply: &Reply) -> String {
    if reply.status != 200 {
        let problem = reply.json();
        let row = problem.get("row").map_or(String::new(), |row| format!(" row {row}"));
        return format!(
            "{} {}{row}: {}",
            reply.status,
            problem["code"].as_str().unwrap_or("?"),
            problem["detail"].as_str().unwrap_or("?")
        );
    }
    match reply.header("content-type") {
        Some(ARROW) => shown_arrow(&reply.body),
        _ => reply.text(),
    }
}

fn shown_arrow(stream: &[u8]) -> String {
    let reader = StreamReader::try_new(stream, None).expect("a stream");
    let schema = reader.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert!(names == ["result", "error"] || names == ["result"], "{names:?}");
    let mut out = format!("{}:", schema.field(0).data_type());
    let mut errors = String::new();
    let mut first = 0;
    for batch in reader {
        let batch = batch.expect("a batch");
        for row in 0..batch.num_rows() {
            out.push(' ');
            out.push_str(&cell(batch.column(0).as_ref(), row));
            if batch.num_columns() > 1 && !batch.column(1).is_null(row) {
                errors.push_str(&format!(
                    " | {}: {}",
                    first + row,
                    batch.column(1).as_string::<i32>().value(row)
                ));
            }
        }
        first += batch.num_rows();
    }
    out + &errors
}

fn cell(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        other => panic!("a column of {other}"),
    }
}

/// Sends a body of a type and shows the answer.
#[track_caller]
fn sent(api: &Api, request: &str, media: &str, body: &[u8]) -> String {
    shown(&api.send_with(request, &[("content-type", media)], body))
}
