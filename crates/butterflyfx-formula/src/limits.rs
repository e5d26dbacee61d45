//! Every bound of the language, with its reason. Each is a setting; each refusal names its limit.

/// The bounds that hold for one formula and one invocation.
///
/// ```
/// let limits = butterflyfx_formula::limits::Limits::default();
/// assert_eq!(limits.steps, 1_000_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// UTF-8 bytes of formula text. Bounds the work of scan and parser.
    pub source_bytes: usize,
    /// Levels of nesting in a formula. Bounds the parser's recursion.
    pub nesting: usize,
    /// Syntax nodes of a formula. Bounds the size of its template.
    pub nodes: usize,
    /// Constants of a formula.
    pub constants: usize,
    /// Distinct names of a formula (parameters, targets, attributes, keys read).
    pub names: usize,
    /// Steps of one invocation: deterministic fuel, not time.
    pub steps: u64,
    /// Bytes one invocation may allocate, all its allocations added up.
    pub memory_bytes: u64,
    /// Wall clock of one invocation in milliseconds; a backstop behind `steps`.
    pub wall_clock_ms: u64,
    /// Bits of an integer's magnitude.
    pub integer_bits: u64,
    /// UTF-8 bytes of a string.
    pub string_bytes: usize,
    /// Elements of a list, tuple or dict.
    pub elements: usize,
    /// Inner lambdas and lazy iterators that may be active inside each other.
    pub call_depth: usize,
    /// UTF-8 bytes of the parameters' JSON text.
    pub parameters_json_bytes: usize,
    /// UTF-8 bytes of the result's JSON text.
    pub result_json_bytes: usize,
    /// Levels of nesting in parameters and result as JSON.
    pub json_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            source_bytes: 8 * 1024,
            nesting: 64,
            nodes: 2_000,
            constants: 500,
            names: 200,
            steps: 1_000_000,
            memory_bytes: 16 * 1024 * 1024,
            wall_clock_ms: 50,
            integer_bits: 4_096,
            string_bytes: 1024 * 1024,
            elements: 100_000,
            call_depth: 64,
            parameters_json_bytes: 64 * 1024,
            result_json_bytes: 1024 * 1024,
            json_depth: 64,
        }
    }
}

/// Which bound refused. [`Limit::name`] is part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Limits::source_bytes`]
    SourceText,
    /// [`Limits::nesting`]
    Nesting,
    /// [`Limits::nodes`]
    SyntaxNodes,
    /// [`Limits::constants`]
    Constants,
    /// [`Limits::names`]
    Names,
    /// [`Limits::steps`]
    Steps,
    /// [`Limits::memory_bytes`]
    Memory,
    /// [`Limits::wall_clock_ms`]
    WallClock,
    /// [`Limits::integer_bits`]
    IntegerSize,
    /// [`Limits::string_bytes`]
    StringLength,
    /// [`Limits::elements`], a list or tuple
    ListLength,
    /// [`Limits::elements`], a dict
    DictLength,
    /// [`Limits::call_depth`]
    CallDepth,
    /// [`Limits::parameters_json_bytes`]
    ParametersSize,
    /// [`Limits::result_json_bytes`]
    ResultSize,
    /// [`Limits::json_depth`]
    JsonDepth,
}

impl Limit {
    /// The limit's stable name, as answers show it.
    pub fn name(self) -> &'static str {
        match self {
            Limit::SourceText => "source_text",
            Limit::Nesting => "nesting",
            Limit::SyntaxNodes => "syntax_nodes",
            Limit::Constants => "constants",
            Limit::Names => "names",
            Limit::Steps => "steps",
            Limit::Memory => "memory",
            Limit::WallClock => "wall_clock",
            Limit::IntegerSize => "integer_size",
            Limit::StringLength => "string_length",
            Limit::ListLength => "list_length",
            Limit::DictLength => "dict_length",
            Limit::CallDepth => "call_depth",
            Limit::ParametersSize => "parameters_size",
            Limit::ResultSize => "result_size",
            Limit::JsonDepth => "json_depth",
        }
    }
}
