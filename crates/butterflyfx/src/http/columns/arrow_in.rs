//! Arrow IPC streams on their way in.
//!
//! The framing is read here, not by the library: a message is taken into memory as it comes and never by the length that it
//! declares, what describes it is verified with small bounds (a few bytes of flatbuffers can stand for gigabytes of fields), and
//! each of its buffers must lie inside it. Only then does the library build arrays, with all of its own validation.

use super::table::{COLUMNS_MAX, Cells, Table, advice};
use crate::http::problem::{Code, Outcome, Problem, clip};
use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::{Endianness, Message, MessageHeader, MetadataVersion, root_as_message_with_opts};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use butterflyfx_formula::text::Text;
use bytes::{Buf, Bytes};
use flatbuffers::VerifierOptions;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Bytes of what describes a message.
const METADATA_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a message: a record batch or a dictionary.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of all dictionaries of a stream, those that were replaced included.
const DICTIONARY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes made ready for a message before any of them came.
const RESERVE_BYTES_MAX: usize = 64 * 1024;

/// Rows of a record batch whose columns take no room: none at all, or of type null.
const ROWS_WITHOUT_BYTES_MAX: usize = 65_536;

/// Bits that an int may have.
const INT_BITS: [i32; 4] = [8, 16, 32, 64];

/// What the description of a message may be when all that it refers to is written out.
const VERIFIER: VerifierOptions = VerifierOptions {
    max_depth: 16,
    max_tables: 64 * COLUMNS_MAX,
    max_apparent_size: 4 * METADATA_BYTES_MAX,
    ignore_missing_null_terminator: true,
};

/// What each message begins with.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// Where in a message the stream is.
#[derive(Debug)]
enum State {
    /// In the continuation marker and the length behind it.
    Prefix([u8; 8], usize),
    /// In the description, which has so many bytes.
    Metadata(usize),
    /// In the body, which has so many bytes.
    Body(usize),
    /// The message is whole.
    Ready,
    /// Behind the end of the stream.
    Ended,
}

/// Reads a stream message by message.
#[derive(Debug)]
pub(super) struct ArrowReader {
    state: State,
    metadata: MutableBuffer,
    body: MutableBuffer,
    schema: Option<SchemaRef>,
    names: Vec<Text>,
    dictionaries: HashMap<i64, ArrayRef>,
    dictionary_bytes: usize,
}

impl Default for ArrowReader {
    fn default() -> ArrowReader {
        ArrowReader {
            state: State::Prefix([0; 8], 0),
            metadata: MutableBuffer::new(0),
            body: MutableBuffer::new(0),
            schema: None,
            names: Vec::new(),
            dictionaries: HashMap::new(),
            dictionary_bytes: 0,
        }
    }
}

fn refused(detail: impl Into<String>) -> Box<Problem> {
    Problem::new(Code::ValidationFailed, detail)
}

fn not_arrow(error: &ArrowError) -> Box<Problem> {
    refused(format!("the body is not a valid Arrow stream: {}", clip(&error.to_string(), 300)))
}

fn message_of(metadata: &[u8]) -> Outcome<Message<'_>> {
    root_as_message_with_opts(&VERIFIER, metadata).map_err(|error| {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        refused(format!(
            "the body is not a valid Arrow stream: a message cannot be read: {}",
            clip(first, 200)
        ))
    })
}

impl ArrowReader {
    /// Takes bytes until a message is whole.
    pub(super) fn feed(&mut self, data: &mut Bytes) -> Outcome<()> {
        while !data.is_empty() {
            match &mut self.state {
                State::Prefix(bytes, read) => {
                    let count = data.len().min(bytes.len() - *read);
                    data.copy_to_slice(&mut bytes[*read..*read + count]);
                    *read += count;
                    if *read >= 4 && bytes[..4] != CONTINUATION {
                        return Err(refused(not_a_stream(bytes)));
                    }
                    if *read == bytes.len() {
                        let [.., a, b, c, d] = *bytes;
                        self.state = match u32::from_le_bytes([a, b, c, d]) as usize {
                            0 => State::Ended,
                            length if length > METADATA_BYTES_MAX => {
                                return Err(Problem::limit(
                                    "arrow_metadata_size",
                                    format!(
                                        "the description of an Arrow message may have {METADATA_BYTES_MAX} bytes; \
                                         one says that it has {length}"
                                    ),
                                ));
                            }
                            length => State::Metadata(length),
                        };
                    }
                }
                State::Metadata(length) => {
                    take(&mut self.metadata, *length, data);
                    if self.metadata.len() == *length {
                        self.state = match body_length(message_of(&self.metadata)?.bodyLength())? {
                            0 => State::Ready,
                            length => State::Body(length),
                        };
                    }
                }
                State::Body(length) => {
                    take(&mut self.body, *length, data);
                    if self.body.len() == *length {
                        self.state = State::Ready;
                    }
                }
                State::Ready => break,
                State::Ended => return Err(refused("there are bytes behind the end of the Arrow stream")),
            }
        }
        Ok(())
    }

    /// Whether a message is whole.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// The names of the columns, once they are known.
    pub(super) fn finish(&self) -> Outcome<()> {
        match self.state {
            State::Ended | State::Prefix(_, 0) if self.schema.is_some() => Ok(()),
            State::Ended | State::Prefix(_, 0) => Err(refused("the Arrow stream is empty: it has no schema")),
            _ => Err(refused("the Arrow stream ends inside a message")),
        }
    }

    /// The table in the message that is whole; `None` where it holds something else.
    pub(super) fn table(&mut self) -> Outcome<Option<Table>> {
        if !self.is_ready() {
            return Ok(None);
        }
        self.state = State::Prefix([0; 8], 0);
        let metadata = std::mem::take(&mut self.metadata);
        let body = Buffer::from(std::mem::take(&mut self.body));
        let message = message_of(&metadata)?;
        let version = message.version();
        match message.header_type() {
            MessageHeader::Schema => self.set_schema(&message)?,
            MessageHeader::DictionaryBatch => self.add_dictionary(&message, &body, version)?,
            MessageHeader::RecordBatch => return Ok(Some(self.batch(&message, &body, version)?)),
            MessageHeader::NONE => {}
            other => {
                return Err(refused(format!("an Arrow stream of tables has no message of type {other:?}")));
            }
        }
        Ok(None)
    }

    fn set_schema(&mut self, message: &Message<'_>) -> Outcome<()> {
        if self.schema.is_some() {
            return Err(refused("the Arrow stream has two schemas"));
        }
        let header = message.header_as_schema().ok_or_else(|| refused("the Arrow schema is missing"))?;
        if header.endianness() != Endianness::Little {
            return Err(refused("the Arrow stream is not little-endian"));
        }
        let count = header.fields().map_or(0, |fields| fields.len());
        if count > COLUMNS_MAX {
            let detail = format!("a table may have {COLUMNS_MAX} columns; this one has {count}");
            return Err(Problem::limit("columns", detail));
        }
        // The library says neither which column it is nor what to do.
        for field in header.fields().into_iter().flatten() {
            if let Some(int) = field.type_as_int()
                && !INT_BITS.contains(&int.bitWidth())
            {
                let (name, bits) = (clip(field.name().unwrap_or_default(), 64), int.bitWidth());
                return Err(refused(format!(
                    "column {name:?} is of ints of {bits} bits; columns may have ints of 8 to 64 bits: cast it to int64, \
                     float64 or utf8"
                )));
            }
        }
        let schema = try_fb_to_schema(header).map_err(|error| not_arrow(&error))?;
        let mut names = HashSet::new();
        for field in schema.fields() {
            if !names.insert(field.name()) {
                return Err(refused(format!("two columns are called {:?}", clip(field.name(), 64))));
            }
            let (name, data_type) = (clip(field.name(), 64), clip(&field.data_type().to_string(), 100));
            let advice = advice(field.data_type());
            // What its storage would be taken for is not what the values mean.
            if let Some(extension) = field.extension_type_name() {
                let cast = format!("cast it to what it is stored as, {data_type}, or to utf8");
                return Err(refused(format!(
                    "column {name:?} is of the extension type {:?}, which is no value of formulas: {}",
                    clip(extension, 64),
                    advice.unwrap_or(&cast)
                )));
            }
            if let Some(advice) = advice {
                return Err(refused(format!(
                    "column {name:?} is of type {data_type}, which is no value of formulas: {advice}"
                )));
            }
        }
        self.names = schema.fields().iter().map(|field| Text::from(field.name().as_str())).collect();
        self.schema = Some(Arc::new(schema));
        Ok(())
    }

    fn add_dictionary(
        &mut self,
        message: &Message<'_>,
        body: &Buffer,
        version: MetadataVersion,
    ) -> Outcome<()> {
        let schema = self.schema.as_ref().ok_or_else(|| refused("the Arrow stream has no schema"))?;
        let header = message.header_as_dictionary_batch();
        let header = header.ok_or_else(|| refused("the Arrow dictionary is missing"))?;
        if header.isDelta() {
            return Err(refused("dictionaries that grow (deltas) are not supported; send whole ones"));
        }
        let batch = header.data().ok_or_else(|| refused("the Arrow dictionary is missing"))?;
        #[expect(deprecated, reason = "how the library ties columns to dictionaries")]
        let mut columns = schema.fields().iter().filter(|field| field.dict_id() == Some(header.id()));
        let values = columns.find_map(|field| match field.data_type() {
            DataType::Dictionary(_, values) => Some(&**values),
            _ => None,
        });
        check_batch(&batch, body.len(), values)?;
        self.dictionary_bytes = self.dictionary_bytes.saturating_add(body.len());
        if self.dictionary_bytes > DICTIONARY_BYTES_MAX {
            return Err(Problem::limit(
                "arrow_dictionary_size",
                format!("the dictionaries of a stream may have {DICTIONARY_BYTES_MAX} bytes together"),
            ));
        }
        read_dictionary(body, header, schema, &mut self.dictionaries, &version)
            .map_err(|error| not_arrow(&error))
    }

    fn batch(&self, message: &Message<'_>, body: &Buffer, version: MetadataVersion) -> Outcome<Table> {
        let schema = self.schema.as_ref().ok_or_else(|| refused("the Arrow stream has no schema"))?;
        let header = message.header_as_record_batch();
        let header = header.ok_or_else(|| refused("the Arrow record batch is missing"))?;
        check_batch(&header, body.len(), schema.fields().iter().map(|field| field.data_type()))?;
        let batch =
            RecordBatchDecoder::try_new(body, header, Arc::clone(schema), &self.dictionaries, &version)
                .and_then(|decoder| decoder.read_record_batch())
                .map_err(|error| not_arrow(&error))?;
        let rows = batch.num_rows();
        let columns = batch.columns().iter().cloned().map(Cells::Arrow);
        Ok(Table { rows, columns: self.names.iter().cloned().zip(columns).collect() })
    }
}

/// What stands in place of a stream.
fn not_a_stream(bytes: &[u8; 8]) -> String {
    let (what, how) = match bytes {
        [b'A', b'R', b'R', b'O', ..] => {
            ("an Arrow file", "write a stream instead (pyarrow: pa.ipc.new_stream, polars: write_ipc_stream)")
        }
        [b'P', b'A', b'R', b'1', ..] => ("Parquet", "read it and write an Arrow stream"),
        _ => ("no Arrow stream", "it does not begin with an Arrow message"),
    };
    format!("the body is {what}: {how}")
}

fn body_length(length: i64) -> Outcome<usize> {
    match usize::try_from(length) {
        Ok(length) if length <= MESSAGE_BYTES_MAX => Ok(length),
        Ok(length) => Err(Problem::limit(
            "arrow_message_size",
            format!(
                "a record batch may have {MESSAGE_BYTES_MAX} bytes; one says that it has {length}: write smaller \
                 ones (pyarrow: write_table(table, max_chunksize=100_000))"
            ),
        )),
        Err(_) => Err(refused("the body is not a valid Arrow stream: a message has a negative length")),
    }
}

/// Takes bytes until there are so many. Room is made as they come.
fn take(into: &mut MutableBuffer, length: usize, data: &mut Bytes) {
    if into.is_empty() {
        into.reserve(length.min(RESERVE_BYTES_MAX));
    }
    let count = data.len().min(length - into.len());
    into.extend_from_slice(&data[..count]);
    data.advance(count);
}

/// Checks that all a record batch of columns of these types speaks of is inside its body, and whole.
fn check_batch<'a>(
    batch: &arrow_ipc::RecordBatch<'_>,
    body: usize,
    types: impl IntoIterator<Item = &'a DataType>,
) -> Outcome<()> {
    let bad = |what: &str| Err(refused(format!("the body is not a valid Arrow stream: {what}")));
    if batch.compression().is_some() {
        return Err(refused("the Arrow stream is compressed; write it without compression"));
    }
    let rows_max = body.saturating_mul(8).max(ROWS_WITHOUT_BYTES_MAX);
    let rows = match usize::try_from(batch.length()) {
        Ok(rows) if rows <= rows_max => rows,
        _ => return bad("a record batch has more rows than it can hold"),
    };
    for node in batch.nodes().into_iter().flatten() {
        let is_right = usize::try_from(node.length()) == Ok(rows)
            && usize::try_from(node.null_count()).is_ok_and(|nulls| nulls <= rows);
        if !is_right {
            return bad("a column is not as long as its record batch");
        }
    }
    for buffer in batch.buffers().into_iter().flatten() {
        let (offset, length) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        let end = offset.ok().zip(length.ok()).and_then(|(offset, length)| offset.checked_add(length));
        if end.is_none_or(|end| end > body) {
            return bad("a buffer lies outside its message");
        }
    }
    let mut buffers = batch.buffers().into_iter().flatten();
    let mut views = batch.variadicBufferCounts().into_iter().flatten();
    for data_type in types {
        let (width, more) = match data_type {
            DataType::Null => continue,
            DataType::Utf8 => (4, 1),
            DataType::LargeUtf8 => (8, 1),
            DataType::Utf8View => (16, views.next().map_or(0, |count| usize::try_from(count).unwrap_or(0))),
            DataType::Dictionary(key, _) => (key.primitive_width().unwrap_or(1), 0),
            other => (other.primitive_width().unwrap_or(1), 0),
        };
        // Behind the nulls stand the values, their offsets, or the views; the library takes them for whole ones.
        let values = buffers.nth(1).map_or(0, |buffer| buffer.length().unsigned_abs());
        if !values.is_multiple_of(width as u64) {
            return bad("a buffer ends inside a value");
        }
        let _ = more.checked_sub(1).and_then(|last| buffers.nth(last));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int8Type;
    use arrow_array::{
        Array, BooleanArray, DictionaryArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray,
        StringViewArray, UInt64Array,
    };
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::{Field, Schema};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// A stream with a column of each kind, in two batches.
    static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let dictionary: DictionaryArray<Int8Type> = [Some("a"), None, Some("bc")].into_iter().collect();
        let numbers: DictionaryArray<Int8Type> =
            DictionaryArray::new(vec![Some(1), None, Some(0)].into(), Arc::new(Int64Array::from(vec![7, 8])));
        let columns: [ArrayRef; 9] = [
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])),
            Arc::new(UInt64Array::from(vec![1, u64::MAX, 3])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(StringArray::from(vec![Some("text"), None, Some("\u{20ac}")])),
            Arc::new(StringViewArray::from(vec![Some("longer than a view holds"), None, Some("short")])),
            Arc::new(dictionary),
            Arc::new(numbers),
            Arc::new(NullArray::new(3)),
        ];
        let field =
            |(at, column): (usize, &ArrayRef)| Field::new(format!("c{at}"), column.data_type().clone(), true);
        let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.to_vec()).expect("a batch");
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).expect("a writer");
        writer.write(&batch).expect("written");
        writer.write(&batch.slice(1, 2)).expect("written");
        writer.finish().expect("ended");
        writer.into_inner().expect("the stream")
    });

    /// Reads a stream that comes in parts of a length, and looks at each value.
    fn read(stream: &[u8], part: usize) -> Outcome<usize> {
        let mut reader = ArrowReader::default();
        let mut rows = 0;
        for part in stream.chunks(part) {
            let mut data = Bytes::copy_from_slice(part);
            while !data.is_empty() || reader.is_ready() {
                reader.feed(&mut data)?;
                let Some(table) = reader.table()? else { continue };
                let mut done = 0;
                while done < table.rows {
                    let (piece, count) = table.piece(done, 0, 100)?;
                    for column in piece.columns() {
                        (0..count).for_each(|row| drop(column.value(row)));
                    }
                    done += count;
                    rows += count;
                }
            }
        }
        reader.finish()?;
        Ok(rows)
    }

    #[test]
    fn a_good_stream_is_read() {
        for part in [1, 5, 64, 10_000] {
            assert_eq!(read(&STREAM, part), Ok(5));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// Whatever is changed in a stream, it is read or refused: nothing panics.
        #[test]
        fn a_changed_stream_is_read_or_refused(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            part in 1..2_000_usize,
        ) {
            let mut stream = STREAM.clone();
            for (at, byte) in changes {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
            let _ = read(&stream, part);
        }
    }
}
