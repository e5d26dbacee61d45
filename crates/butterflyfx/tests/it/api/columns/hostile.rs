//! Arrow streams that lie: refused for what they are, before anything is made of what they say.

use super::*;
use arrow_array::{Date32Array, Float64Array, Int64Array, ListArray, NullArray, StringArray};
use arrow_ipc::{
    BodyCompressionBuilder, Buffer, FieldBuilder, FieldNode, IntBuilder, MessageBuilder, MessageHeader,
    MetadataVersion, NullBuilder, RecordBatchBuilder, SchemaBuilder, Type,
};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

/// What ends a stream.
const END: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];

/// More than all the requests of a test may add to what the process holds.
const GROWTH_BYTES_MAX: u64 = 96 * 1024 * 1024;

fn framed(metadata: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xFF; 4];
    let padded = metadata.len().next_multiple_of(8);
    out.extend((padded as u32).to_le_bytes());
    out.extend(metadata);
    out.resize(8 + padded, 0);
    out.extend(body);
    out
}

fn message(
    fbb: &mut FlatBufferBuilder<'_>,
    kind: MessageHeader,
    header: Option<WIPOffset<UnionWIPOffset>>,
    body_length: i64,
    body: &[u8],
) -> Vec<u8> {
    let mut builder = MessageBuilder::new(fbb);
    builder.add_version(MetadataVersion::V5);
    if let Some(header) = header {
        builder.add_header_type(kind);
        builder.add_header(header);
    }
    builder.add_bodyLength(body_length);
    let root = builder.finish();
    fbb.finish(root, None);
    framed(fbb.finished_data(), body)
}

/// A record batch that says what it is told to say.
struct Batch<'a> {
    rows: i64,
    node: (i64, i64),
    buffers: &'a [(i64, i64)],
    body_length: i64,
    body: &'a [u8],
    is_compressed: bool,
}

impl Default for Batch<'_> {
    fn default() -> Self {
        Batch {
            rows: 2,
            node: (2, 0),
            buffers: &[(0, 0), (0, 16)],
            body_length: 16,
            body: &[0; 16],
            is_compressed: false,
        }
    }
}

impl Batch<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut fbb = FlatBufferBuilder::new();
        let nodes = fbb.create_vector(&[FieldNode::new(self.node.0, self.node.1)]);
        let buffers: Vec<Buffer> =
            self.buffers.iter().map(|(at, length)| Buffer::new(*at, *length)).collect();
        let buffers = fbb.create_vector(&buffers);
        let compression = self.is_compressed.then(|| BodyCompressionBuilder::new(&mut fbb).finish());
        let mut builder = RecordBatchBuilder::new(&mut fbb);
        builder.add_length(self.rows);
        builder.add_nodes(nodes);
        builder.add_buffers(buffers);
        if let Some(compression) = compression {
            builder.add_compression(compression);
        }
        let batch = builder.finish().as_union_value();
        message(&mut fbb, MessageHeader::RecordBatch, Some(batch), self.body_length, self.body)
    }
}

/// The schema of a column, without an end behind it.
fn schema_of(array: ArrayRef) -> Vec<u8> {
    let schema = Schema::new(vec![Field::new("x", array.data_type().clone(), true)]);
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).expect("a writer");
    std::mem::take(stream.get_mut())
}

/// The schema of a column of ints of any width.
fn ints_of(bits: i32) -> Vec<u8> {
    let mut fbb = FlatBufferBuilder::new();
    let name = fbb.create_string("wide");
    let mut int = IntBuilder::new(&mut fbb);
    int.add_bitWidth(bits);
    int.add_is_signed(true);
    let int = int.finish().as_union_value();
    let mut field = FieldBuilder::new(&mut fbb);
    field.add_name(name);
    field.add_type_type(Type::Int);
    field.add_type_(int);
    let field = field.finish();
    let fields = fbb.create_vector(&[field]);
    let mut schema = SchemaBuilder::new(&mut fbb);
    schema.add_fields(fields);
    let schema = schema.finish().as_union_value();
    message(&mut fbb, MessageHeader::Schema, Some(schema), 0, &[])
}

fn floats() -> ArrayRef {
    Arc::new(Float64Array::from(vec![1.0, 2.0]))
}

#[test]
fn what_is_no_stream_is_refused() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: x");
    let good = schema_of(floats());
    let invalid = |what: &str| format!("422 validation_failed: the body is not a valid Arrow stream: {what}");
    let batch = |batch: Batch<'_>| [&good[..], &batch.bytes(), &END].concat();
    assert_eq!(sent(&api, &request, ARROW, &batch(Batch::default())), "Float64: 0.0 0.0");
    let of_text =
        |batch: Batch<'_>| [&schema_of(Arc::new(StringArray::from(vec!["a"])))[..], &batch.bytes()].concat();
    let of_nulls = |batch: Batch<'_>| [&schema_of(Arc::new(NullArray::new(1)))[..], &batch.bytes()].concat();
    let outside = invalid("a buffer lies outside its message");
    let longer = invalid("a column is not as long as its record batch");
    let rows = invalid("a record batch has more rows than it can hold");
    let before = butterflyfx::metrics::resident_bytes();
    let mut wide = FlatBufferBuilder::new();
    let name = wide.create_string(&"n".repeat(500_000));
    let null = NullBuilder::new(&mut wide).finish().as_union_value();
    let mut field = FieldBuilder::new(&mut wide);
    field.add_name(name);
    field.add_type_type(Type::Null);
    field.add_type_(null);
    let field = field.finish();
    let fields = wide.create_vector(&[field; 900]);
    let mut schema = SchemaBuilder::new(&mut wide);
    schema.add_fields(fields);
    let schema = schema.finish().as_union_value();
    // Half a megabyte that stands for half a gigabyte.
    let wide = message(&mut wide, MessageHeader::Schema, Some(schema), 0, &[]);
    let huge = |length: i64| {
        let mut fbb = FlatBufferBuilder::new();
        [&good[..], &message(&mut fbb, MessageHeader::NONE, None, length, &[0; 64])].concat()
    };
    let columns = |names: &[String]| {
        let columns: Vec<_> = names.iter().map(|name| (name.as_str(), floats())).collect();
        stream_of(&[columns])
    };
    let names: Vec<String> = (0..10_000).map(|at| format!("c{at}")).collect();
    let twice = ["x".to_owned(), "x".to_owned()];
    let lists: ListArray = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
    let cases: Vec<(Vec<u8>, String)> = vec![
        (b"ARROW1\0\0 and so on".to_vec(), "422 validation_failed: the body is an Arrow file: write a stream instead (pyarrow: pa.ipc.new_stream, polars: write_ipc_stream)".to_owned()),
        (b"PAR1 and so on".to_vec(), "422 validation_failed: the body is Parquet: read it and write an Arrow stream".to_owned()),
        (b"hello, world".to_vec(), "422 validation_failed: the body is no Arrow stream: it does not begin with an Arrow message".to_owned()),
        (vec![], "422 validation_failed: the Arrow stream is empty: it has no schema".to_owned()),
        (END.to_vec(), "422 validation_failed: the Arrow stream is empty: it has no schema".to_owned()),
        (good[..good.len() - 1].to_vec(), "422 validation_failed: the Arrow stream ends inside a message".to_owned()),
        (good[..6].to_vec(), "422 validation_failed: the Arrow stream ends inside a message".to_owned()),
        ([&good[..], &END, &END].concat(), "422 validation_failed: there are bytes behind the end of the Arrow stream".to_owned()),
        ([&good[..], &good].concat(), "422 validation_failed: the Arrow stream has two schemas".to_owned()),
        (Batch::default().bytes(), "422 validation_failed: the Arrow stream has no schema".to_owned()),
        (vec![0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0], "422 limit_exceeded: the description of an Arrow message may have 1048576 bytes; one says that it has 2147483647".to_owned()),
        (huge(1 << 50), "422 limit_exceeded: a record batch may have 67108864 bytes; one says that it has 1125899906842624: write smaller ones (pyarrow: write_table(table, max_chunksize=100_000))".to_owned()),
        (huge(64 << 20), "422 validation_failed: the Arrow stream ends inside a message".to_owned()),
        (huge(-8), invalid("a message has a negative length")),
        (ints_of(128), "422 validation_failed: column \"wide\" is of ints of 128 bits; columns may have ints of 8 to 64 bits: cast it to int64, float64 or utf8".to_owned()),
        (ints_of(-1), "422 validation_failed: column \"wide\" is of ints of -1 bits; columns may have ints of 8 to 64 bits: cast it to int64, float64 or utf8".to_owned()),
        (wide, invalid("a message cannot be read: Apparent size too large.")),
        (framed(&[0xAB; 64], &[]), String::new()),
        (columns(&names), "422 limit_exceeded: a table may have 1000 columns; this one has 10000".to_owned()),
        (columns(&twice), "422 validation_failed: two columns are called \"x\"".to_owned()),
        (stream_of(&[vec![("day", Arc::new(Date32Array::from(vec![1])) as ArrayRef)]]), "422 validation_failed: column \"day\" is of type Date32, which is no value of formulas: cast it to int32 or utf8".to_owned()),
        (stream_of(&[vec![("l", Arc::new(lists) as ArrayRef)]]), String::new()),
        (batch(Batch { buffers: &[(0, 0), (8, 16)], ..Batch::default() }), outside.clone()),
        (batch(Batch { buffers: &[(0, 0), (i64::MAX, i64::MAX)], ..Batch::default() }), outside.clone()),
        (batch(Batch { buffers: &[(0, 0), (-8, 16)], ..Batch::default() }), outside),
        (batch(Batch { buffers: &[(0, 0), (0, 8)], ..Batch::default() }), String::new()),
        (batch(Batch { buffers: &[(0, 0)], ..Batch::default() }), String::new()),
        (batch(Batch { node: (2, 1), ..Batch::default() }), String::new()),
        (batch(Batch { node: (2, 3), ..Batch::default() }), longer.clone()),
        (batch(Batch { node: (1 << 40, 0), ..Batch::default() }), longer),
        (batch(Batch { rows: 1 << 40, node: (1 << 40, 0), ..Batch::default() }), rows.clone()),
        (batch(Batch { rows: -1, node: (-1, 0), ..Batch::default() }), rows.clone()),
        (batch(Batch { is_compressed: true, ..Batch::default() }), "422 validation_failed: the Arrow stream is compressed; write it without compression".to_owned()),
        (
            of_text(Batch { rows: 1, node: (1, 0), buffers: &[(0, 0), (0, 9), (8, 8)], ..Batch::default() }),
            invalid("a buffer ends inside a value"),
        ),
        // Nulls take no room: a few bytes would be a billion rows.
        (of_nulls(Batch { rows: 1 << 30, node: (1 << 30, 1 << 30), buffers: &[], body_length: 0, body: &[], is_compressed: false }), rows),
        (of_text(Batch { rows: 1, node: (1, 0), buffers: &[(0, 0), (0, 8), (8, 8)], body: &[0, 0, 0, 0, 2, 0, 0, 0, 0xFF, 0xFE, 0, 0, 0, 0, 0, 0], ..Batch::default() }), String::new()),
        (of_text(Batch { rows: 1, node: (1, 0), buffers: &[(0, 0), (0, 8), (8, 8)], body: &[0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ..Batch::default() }), String::new()),
        (of_text(Batch { rows: 1, node: (1, 0), buffers: &[(0, 0), (0, 8), (8, 8)], body: &[5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ..Batch::default() }), String::new()),
    ];
    for (at, (body, expected)) in cases.iter().enumerate() {
        let shown = sent(&api, &request, ARROW, body);
        match expected.as_str() {
            // In the library's words.
            "" => assert!(shown.starts_with("422 validation_failed: "), "{at}: {shown}"),
            expected => assert_eq!(shown, expected, "{at}"),
        }
    }
    if let (Some(before), Some(after)) = (before, butterflyfx::metrics::resident_bytes()) {
        assert!(after.saturating_sub(before) < GROWTH_BYTES_MAX, "from {before} to {after} bytes");
    }
    let metrics = api.send("GET /metrics", "").text();
    assert!(metrics.contains("butterflyfx_panics_total 0"), "{metrics}");
}

#[test]
fn a_stream_may_be_cut_at_any_place() {
    let api = Api::new();
    let request = lambda(&api, "lambda x, t: t");
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let whole = stream_of(&[vec![("x", floats()), ("t", texts)]]);
    for end in 0..whole.len() {
        let reply = api.send_with(&request, &[("content-type", ARROW)], &whole[..end]);
        assert!(matches!(reply.status, 200 | 422), "{end}: {}", reply.text());
    }
}

#[test]
fn a_text_shown_many_times_is_one_row_at_a_time() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: len(x)");
    // Each row is a view of the same text of 60,000 bytes, so that some kilobytes stand for 600 MB.
    let text = "t".repeat(60_000);
    let mut builder = arrow_array::builder::StringViewBuilder::new();
    let block = builder.append_block(text.clone().into_bytes().into());
    for _ in 0..10_000 {
        builder.try_append_view(block, 0, 60_000).expect("a view");
    }
    let before = butterflyfx::metrics::resident_bytes();
    let stream = stream_of(&[vec![("x", Arc::new(builder.finish()) as ArrayRef)]]);
    let headers = [("content-type", ARROW), ("accept", "application/json")];
    let reply = api.send_with(&request, &headers, &stream).json();
    assert_eq!(reply["results"].as_array().map(Vec::len), Some(10_000));
    assert_eq!(reply["results"][9_999], json!(60_000));
    if let (Some(before), Some(after)) = (before, butterflyfx::metrics::resident_bytes()) {
        assert!(after.saturating_sub(before) < GROWTH_BYTES_MAX, "from {before} to {after} bytes");
    }
    let long = stream_of(&[vec![("x", Arc::new(StringArray::from(vec!["a".repeat(70_000)])) as ArrayRef)]]);
    assert_eq!(
        sent(&api, &request, ARROW, &long),
        "422 limit_exceeded: the text in row 0 of column \"x\" has 70000 bytes; it may have 65536"
    );
}

#[test]
fn results_that_are_long_are_written_as_they_come() {
    let api = Api::new();
    // A megabyte a row from eight bytes a row.
    let request = lambda(&api, "lambda x: 'a' * 1000000");
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1; 400]));
    let stream = stream_of(&[vec![("x", column)]]);
    let refused = sent(&api, &(request.clone() + "?errors=fail"), ARROW, &stream);
    assert!(refused.starts_with("422 limit_exceeded: the answer would have more than"), "{refused}");
    // The answer was full after some seventy rows; no more than those were evaluated, and kept.
    let steps = super::stream::counter(&api, "butterflyfx_evaluation_steps_total");
    assert!(steps < 2_500_000, "{steps} steps");
}
