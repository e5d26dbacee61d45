//! Random formulas over numbers, and random parameters, out of bytes: the same bytes give the same formula.

/// Bytes that decide; when they have run out, the first choice is taken.
pub(crate) struct Choices<'a> {
    bytes: &'a [u8],
}

const INTS: [&str; 22] = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "10",
    "63",
    "64",
    "100",
    "255",
    "4503599627370496",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "3037000500",
    "4611686018427387904",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1000000000000000000000",
    "5",
    "12",
];

const FLOATS: [&str; 18] = [
    "0.0",
    "0.5",
    "1.0",
    "1.08",
    "2.0",
    "2.5",
    "3.5",
    "1e-300",
    "5e-324",
    "2.2250738585072014e-308",
    "1e16",
    "9007199254740993.0",
    "9.223372036854776e18",
    "1e308",
    "1.7976931348623157e308",
    "0.1",
    "1e22",
    "-0.0",
];

const NAMES: [&str; 4] = ["x", "y", "z", "w"];

const OF_ONE: [&str; 33] = [
    "abs",
    "round",
    "int",
    "float",
    "bool",
    "math.floor",
    "math.ceil",
    "math.trunc",
    "math.sqrt",
    "math.exp",
    "math.log",
    "math.log2",
    "math.log10",
    "math.log1p",
    "math.expm1",
    "math.sin",
    "math.cos",
    "math.tan",
    "math.asin",
    "math.atan",
    "math.sinh",
    "math.tanh",
    "math.fabs",
    "math.isnan",
    "math.isinf",
    "math.isfinite",
    "math.degrees",
    "math.radians",
    "math.gamma",
    "math.erf",
    "math.cbrt",
    "math.isqrt",
    "math.factorial",
];

const OF_TWO: [&str; 15] = [
    "min",
    "max",
    "round",
    "pow",
    "math.pow",
    "math.fmod",
    "math.atan2",
    "math.copysign",
    "math.remainder",
    "math.log",
    "math.hypot",
    "math.isclose",
    "math.gcd",
    "math.lcm",
    "divmod",
];

const BINARY: [&str; 12] = ["+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>"];
const COMPARE: [&str; 8] = ["<", "<=", ">", ">=", "==", "!=", "is", "is not"];

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices { bytes }
    }

    fn below(&mut self, n: usize) -> usize {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                usize::from(*first) % n
            }
            None => 0,
        }
    }

    fn one_of<'b>(&mut self, of: &[&'b str]) -> &'b str {
        of[self.below(of.len())]
    }

    /// A lambda of some of the names, in one of the three forms that read parameters.
    pub(crate) fn formula(&mut self) -> String {
        let head = self.below(4);
        let body = self.expression(5, head >= 2);
        match head {
            0 => format!("lambda x, y, z, w: {body}"),
            1 => format!("lambda x, y=2, *, z=-1.5, w=True: {body}"),
            2 => format!("lambda **kw: {body}"),
            _ => format!("lambda x=1, **kw: {body}"),
        }
    }

    fn leaf(&mut self, keywords: bool) -> String {
        match self.below(8) {
            0..=3 if keywords => {
                let name = self.one_of(&NAMES);
                match self.below(4) {
                    0 => format!("kw.get('{name}', {})", self.one_of(&INTS[..8])),
                    1 => format!("kw.get('{name}', {})", self.one_of(&FLOATS)),
                    2 => format!("kw.get('{name}')"),
                    _ => format!("kw['{name}']"),
                }
            }
            0..=3 => self.one_of(&NAMES).to_owned(),
            4 | 5 => self.one_of(&INTS).to_owned(),
            6 => self.one_of(&FLOATS).to_owned(),
            _ => self.one_of(&["True", "False", "None", "math.pi", "math.inf", "math.nan", "'a'"]).to_owned(),
        }
    }

    fn expression(&mut self, depth: usize, keywords: bool) -> String {
        if depth == 0 {
            return self.leaf(keywords);
        }
        let part = |choices: &mut Self| choices.expression(depth - 1, keywords);
        match self.below(16) {
            0 | 1 => self.leaf(keywords),
            2..=6 => {
                let (a, b) = (part(self), part(self));
                format!("({a} {} {b})", self.one_of(&BINARY))
            }
            7 => format!("({}{})", self.one_of(&["-", "+", "~", "not "]), part(self)),
            8 | 9 => {
                let (a, b, c) = (part(self), part(self), part(self));
                format!("({a} if {b} else {c})")
            }
            10 => {
                let (a, b) = (part(self), part(self));
                format!("({a} {} {b})", self.one_of(&COMPARE))
            }
            11 => {
                let (a, b, c) = (part(self), part(self), part(self));
                format!("({a} {} {b} {} {c})", self.one_of(&COMPARE[..6]), self.one_of(&COMPARE[..6]))
            }
            12 => {
                let (a, b) = (part(self), part(self));
                format!("({a} {} {b})", self.one_of(&["and", "or"]))
            }
            13 => format!("{}({})", self.one_of(&OF_ONE), part(self)),
            14 => {
                let (a, b) = (part(self), part(self));
                format!("{}({a}, {b})", self.one_of(&OF_TWO))
            }
            _ => {
                let (a, b, c) = (part(self), part(self), part(self));
                format!("{}({a}, {b}, {c})", self.one_of(&["min", "max"]))
            }
        }
    }

    /// Parameters for such a formula; now and then one is missing, unknown, or no number.
    pub(crate) fn parameters(&mut self) -> String {
        let mut members = Vec::new();
        for name in NAMES {
            let value = match self.below(16) {
                0..=5 => self.one_of(&INTS).to_owned(),
                6 | 7 => format!("-{}", self.one_of(&INTS)),
                8..=11 => self.one_of(&FLOATS).to_owned(),
                12 => format!("-{}", self.one_of(&FLOATS[..17])),
                13 => self.one_of(&["true", "false"]).to_owned(),
                14 => self.one_of(&["null", "\"a\"", "[1]"]).to_owned(),
                _ => continue,
            };
            members.push(format!("\"{name}\":{value}"));
        }
        if self.below(64) == 63 {
            members.push("\"unknown\":1".to_owned());
        }
        format!("{{{}}}", members.join(","))
    }
}
