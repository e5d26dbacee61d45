//! Tables of calls with the answers of CPython 3.13 on the GNU C library.

use super::*;
use crate::error::RaiseKind;
use crate::limits::Limits;
use crate::text::Text;

/// An argument.
#[derive(Clone, Copy, Debug)]
enum Arg {
    N,
    B(bool),
    I(i64),
    Big(&'static str),
    F(f64),
    S(&'static str),
    L(&'static [Arg]),
}

use Arg::{B, Big, F, I, L, N, S};

fn value(arg: Arg) -> Value {
    match arg {
        N => Value::None,
        B(b) => Value::Bool(b),
        I(i) => Value::Int(i),
        Big(digits) => Value::big(digits.parse().expect("digits")),
        F(x) => Value::float(x),
        S(text) => Value::str(text),
        L(items) => Value::list(items.iter().copied().map(value).collect()),
    }
}

fn show(result: Result<Value>) -> String {
    match result {
        Ok(Value::Float(x)) if x.is_finite() => {
            let mut text = String::new();
            crate::json::write_float(x, &mut text);
            text
        }
        Ok(Value::Float(x)) => x.to_string().to_lowercase(),
        Ok(Value::Bool(b)) => if b { "True" } else { "False" }.to_owned(),
        Ok(Value::Int(i)) => i.to_string(),
        Ok(Value::BigInt(big)) => big.to_string(),
        Ok(Value::Str(text)) => format!("'{}'", text.as_str()),
        Ok(other) => format!("{other:?}"),
        Err(raise) => match raise.kind {
            RaiseKind::Exception(kind) => format!("{}: {}", kind.name(), raise.message),
            RaiseKind::Limit(limit) => format!("limit {}", limit.name()),
            other => format!("{other:?}"),
        },
    }
}

fn called(limits: &Limits, name: &str, arguments: &[Arg], keywords: &[(&str, Arg)]) -> (String, Meter) {
    let function = MathFunction::from_name(name).expect("a function of math");
    let positional: Vec<Value> = arguments.iter().copied().map(value).collect();
    let keywords: Vec<(Text, Value)> =
        keywords.iter().map(|&(name, arg)| (Text::from(name), value(arg))).collect();
    let mut vm = Interpreter::new(limits);
    let arguments = Arguments { positional: &positional, keywords: &keywords };
    let shown = show(call(&mut vm, function, arguments));
    (shown, vm.meter)
}

#[track_caller]
fn check(name: &str, arguments: &[Arg], expected: &str) {
    // As many bits as the largest logarithm of the table needs.
    let limits = Limits { integer_bits: 10_000, ..Limits::default() };
    assert_eq!(called(&limits, name, arguments, &[]).0, expected, "{name}{arguments:?}");
}

#[test]
fn every_function_has_its_name() {
    // The list of the language's contract.
    const NAMES: &str = "sqrt cbrt exp exp2 expm1 log log2 log10 log1p pow sin cos tan asin acos atan atan2 \
        sinh cosh tanh asinh acosh atanh hypot degrees radians floor ceil trunc fabs fmod remainder copysign \
        isnan isinf isfinite isclose gcd lcm factorial comb perm isqrt fsum prod dist erf erfc gamma lgamma";
    for name in NAMES.split_whitespace() {
        assert_eq!(MathFunction::from_name(name).map(MathFunction::name), Some(name));
    }
    assert_eq!(MathFunction::names().count(), NAMES.split_whitespace().count());
    assert_eq!(MathFunction::from_name("sumprod"), None);
    for name in ["pi", "e", "tau", "inf", "nan"] {
        assert!(constant(name).is_some());
    }
    assert_eq!(constant("sqrt"), None);
}

#[test]
fn keywords_are_bound_as_in_cpython() {
    type Row = (&'static str, &'static [Arg], &'static [(&'static str, Arg)], &'static str);
    const ROWS: &[Row] = &[
        ("isclose", &[I(1), F(1.1)], &[("rel_tol", F(0.2))], "True"),
        ("isclose", &[I(1), F(1.1)], &[("abs_tol", F(0.05))], "False"),
        ("isclose", &[], &[("b", I(1)), ("a", I(1))], "True"),
        ("isclose", &[F(f64::INFINITY), F(f64::INFINITY)], &[("rel_tol", I(0))], "True"),
        ("isclose", &[F(f64::INFINITY), I(1)], &[("rel_tol", F(f64::INFINITY))], "False"),
        ("isclose", &[I(1), I(1)], &[("rel_tol", I(-1))], "ValueError: tolerances must be non-negative"),
        (
            "isclose",
            &[I(1), I(1), I(1)],
            &[],
            "TypeError: isclose() takes exactly 2 positional arguments (3 given)",
        ),
        ("isclose", &[I(1)], &[], "TypeError: isclose() missing required argument 'b' (pos 2)"),
        ("prod", &[L(&[I(2), I(3)])], &[("start", F(0.5))], "3.0"),
        ("prod", &[L(&[])], &[("start", S("a"))], "'a'"),
        ("prod", &[L(&[]), I(1)], &[], "TypeError: prod() takes exactly 1 positional argument (2 given)"),
        ("sqrt", &[], &[("x", I(1))], "TypeError: math.sqrt() takes no keyword arguments"),
        ("gcd", &[], &[("x", I(1))], "TypeError: math.gcd() takes no keyword arguments"),
    ];
    for (name, arguments, keywords, expected) in ROWS {
        let shown = called(&Limits::default(), name, arguments, keywords).0;
        assert_eq!(shown, *expected, "{name}{arguments:?}{keywords:?}");
    }
}

#[test]
fn sizes_are_refused_before_the_work() {
    const ROWS: &[(&str, &[Arg], &str)] = &[
        ("factorial", &[I(1_000_000)], "limit integer_size"),
        ("factorial", &[I(i64::MAX)], "limit integer_size"),
        ("factorial", &[I(537)], "limit integer_size"),
        ("comb", &[I(1_000_000), I(500_000)], "limit integer_size"),
        ("comb", &[I(i64::MAX), I(i64::MAX / 2)], "limit integer_size"),
        ("perm", &[I(1_000_000), I(1_000_000)], "limit integer_size"),
        ("perm", &[I(i64::MAX), I(i64::MAX)], "limit integer_size"),
        ("perm", &[I(i64::MAX), I(70)], "limit integer_size"),
    ];
    for (name, arguments, expected) in ROWS {
        let (shown, meter) = called(&Limits::default(), name, arguments, &[]);
        assert_eq!(shown, *expected, "{name}{arguments:?}");
        assert!(meter.cost().steps < 50_000, "{name}{arguments:?} took {:?}", meter.cost());
    }
    // 536! has 4,092 bits, 537! 4,102.
    let limits = Limits::default();
    assert_eq!(called(&limits, "factorial", &[I(536)], &[]).0.len(), 1_232);

    let odd = |bits: u32| Value::big((BigInt::from(1) << bits) - 1);
    let mut vm = Interpreter::new(&limits);
    let coprime = [odd(4_096), odd(4_095)];
    let arguments = Arguments { positional: &coprime, keywords: &[] };
    assert_eq!(show(call(&mut vm, MathFunction::Lcm, arguments)), "limit integer_size");
    let before = vm.meter.cost().steps;
    assert_eq!(show(call(&mut vm, MathFunction::Gcd, arguments)), "1");
    assert!(vm.meter.cost().steps - before >= 64 * 64, "gcd pays for its quadratic work");
}

#[test]
fn calls_give_cpythons_answers() {
    for (name, arguments, expected) in ROWS {
        check(name, arguments, expected);
    }
}

const ROWS: &[(&str, &[Arg], &str)] = &[
    ("erf", &[F(0.0)], "0.0"),
    ("erf", &[F(-0.0)], "-0.0"),
    ("erf", &[F(5e-324)], "5e-324"),
    ("erf", &[F(-1e-300)], "-1.1283791670955126e-300"),
    ("erf", &[F(1e-10)], "1.1283791670955126e-10"),
    ("erf", &[F(0.5)], "0.5204998778130465"),
    ("erf", &[F(-0.84375)], "-0.7672256612323416"),
    ("erf", &[F(0.9)], "0.7969082124228322"),
    ("erf", &[F(1.25)], "0.9229001282564582"),
    ("erf", &[F(-2.0)], "-0.9953222650189527"),
    ("erf", &[F(2.857142857142857)], "0.9999466876886117"),
    ("erf", &[F(4.5)], "0.9999999998033839"),
    ("erf", &[F(6.0)], "1.0"),
    ("erf", &[F(-30.0)], "-1.0"),
    ("erf", &[F(f64::INFINITY)], "1.0"),
    ("erf", &[F(f64::NAN)], "nan"),
    ("erfc", &[F(0.0)], "1.0"),
    ("erfc", &[F(1e-20)], "1.0"),
    ("erfc", &[F(-0.3)], "1.3286267594591274"),
    ("erfc", &[F(0.25)], "0.7236736098317631"),
    ("erfc", &[F(0.7)], "0.32219880616258156"),
    ("erfc", &[F(-1.0)], "1.842700792949715"),
    ("erfc", &[F(1.2)], "0.08968602177036465"),
    ("erfc", &[F(1.25)], "0.07709987174354177"),
    ("erfc", &[F(2.857142857142857)], "5.331231138832279e-05"),
    ("erfc", &[F(-3.0)], "1.9999779095030015"),
    ("erfc", &[F(5.0)], "1.5374597944280351e-12"),
    ("erfc", &[F(-6.0)], "2.0"),
    ("erfc", &[F(26.5)], "2.2109076642637343e-307"),
    ("erfc", &[F(27.5)], "0.0"),
    ("erfc", &[F(28.0)], "0.0"),
    ("erfc", &[F(f64::INFINITY)], "0.0"),
    ("erfc", &[F(f64::NEG_INFINITY)], "2.0"),
    ("asinh", &[F(-0.0)], "-0.0"),
    ("asinh", &[F(1e-10)], "1e-10"),
    ("asinh", &[F(0.3)], "0.29567304756342244"),
    ("asinh", &[F(2.0)], "1.4436354751788103"),
    ("asinh", &[F(-2.5)], "-1.6472311463710958"),
    ("asinh", &[F(268435456.0)], "20.101268236238415"),
    ("asinh", &[F(1e300)], "691.4686750787736"),
    ("asinh", &[F(f64::NEG_INFINITY)], "-inf"),
    ("asinh", &[F(f64::NAN)], "nan"),
    ("acosh", &[F(1.0)], "0.0"),
    ("acosh", &[F(1.0000000001)], "1.4142136208675862e-05"),
    ("acosh", &[F(1.7)], "1.123230982587296"),
    ("acosh", &[F(2.0)], "1.3169578969248166"),
    ("acosh", &[F(2.5)], "1.566799236972411"),
    ("acosh", &[F(268435456.0)], "20.10126823623841"),
    ("acosh", &[F(1e300)], "691.4686750787736"),
    ("acosh", &[F(0.5)], "ValueError: math domain error"),
    ("acosh", &[F(f64::INFINITY)], "inf"),
    ("acosh", &[F(f64::NEG_INFINITY)], "ValueError: math domain error"),
    ("acosh", &[F(f64::NAN)], "nan"),
    ("atanh", &[F(-0.0)], "-0.0"),
    ("atanh", &[F(1e-10)], "1e-10"),
    ("atanh", &[F(0.3)], "0.30951960420311175"),
    ("atanh", &[F(0.5)], "0.5493061443340548"),
    ("atanh", &[F(-0.75)], "-0.9729550745276566"),
    ("atanh", &[F(0.9999999999999999)], "18.714973875118524"),
    ("atanh", &[F(1.0)], "ValueError: math domain error"),
    ("atanh", &[F(-1.0)], "ValueError: math domain error"),
    ("atanh", &[F(1.5)], "ValueError: math domain error"),
    ("atanh", &[F(f64::NAN)], "nan"),
    ("cbrt", &[F(0.0)], "0.0"),
    ("cbrt", &[F(-0.0)], "-0.0"),
    ("cbrt", &[F(2.0)], "1.2599210498948734"),
    ("cbrt", &[F(-27.0)], "-3.0000000000000004"),
    ("cbrt", &[F(5e-324)], "1.7031839360032601e-108"),
    ("cbrt", &[F(1e-300)], "1e-100"),
    ("cbrt", &[F(1e300)], "1e100"),
    ("cbrt", &[F(f64::INFINITY)], "inf"),
    ("cbrt", &[F(f64::NAN)], "nan"),
    ("gamma", &[F(0.5)], "1.7724538509055159"),
    ("gamma", &[F(-0.5)], "-3.544907701811032"),
    ("gamma", &[F(5.0)], "24.0"),
    ("gamma", &[F(23.0)], "1.1240007277776077e21"),
    ("gamma", &[F(24.0)], "2.585201673888497e22"),
    ("gamma", &[F(171.5)], "9.483367566824801e307"),
    ("gamma", &[F(172.0)], "OverflowError: math range error"),
    ("gamma", &[F(-170.5)], "-3.312739521538607e-308"),
    ("gamma", &[F(-180.5)], "-0.0"),
    ("gamma", &[F(-200.5)], "-0.0"),
    ("gamma", &[F(1e-21)], "1.0000000000000001e21"),
    ("gamma", &[F(1e-309)], "OverflowError: math range error"),
    ("gamma", &[F(0.0)], "ValueError: math domain error"),
    ("gamma", &[F(-0.0)], "ValueError: math domain error"),
    ("gamma", &[F(-1.0)], "ValueError: math domain error"),
    ("gamma", &[F(f64::INFINITY)], "inf"),
    ("gamma", &[F(f64::NEG_INFINITY)], "ValueError: math domain error"),
    ("gamma", &[F(f64::NAN)], "nan"),
    ("gamma", &[F(3.3)], "2.6834373819557675"),
    ("gamma", &[F(150.25)], "1.3321507761951633e261"),
    ("gamma", &[S("a")], "TypeError: must be real number, not str"),
    ("lgamma", &[F(0.5)], "0.5723649429247004"),
    ("lgamma", &[F(-0.5)], "1.265512123484645"),
    ("lgamma", &[F(1.0)], "0.0"),
    ("lgamma", &[F(2.0)], "0.0"),
    ("lgamma", &[F(3.0)], "0.693147180559945"),
    ("lgamma", &[F(1e-21)], "48.35428695287496"),
    ("lgamma", &[F(100.25)], "360.2845596377643"),
    ("lgamma", &[F(-100.5)], "-364.90096830942736"),
    ("lgamma", &[F(1e306)], "OverflowError: math range error"),
    ("lgamma", &[F(1e308)], "OverflowError: math range error"),
    ("lgamma", &[F(0.0)], "ValueError: math domain error"),
    ("lgamma", &[F(-2.0)], "ValueError: math domain error"),
    ("lgamma", &[F(f64::INFINITY)], "inf"),
    ("lgamma", &[F(f64::NEG_INFINITY)], "inf"),
    ("lgamma", &[F(f64::NAN)], "nan"),
    ("exp", &[F(1.0)], "2.718281828459045"),
    ("exp", &[F(-745.2)], "0.0"),
    ("exp", &[F(709.8)], "OverflowError: math range error"),
    ("exp", &[F(f64::NEG_INFINITY)], "0.0"),
    ("exp", &[F(f64::NAN)], "nan"),
    (
        "exp",
        &[Big(
            "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        )],
        "OverflowError: int too large to convert to float",
    ),
    ("exp2", &[F(0.5)], "1.4142135623730951"),
    ("exp2", &[F(1024.0)], "OverflowError: math range error"),
    ("expm1", &[F(1e-10)], "1.00000000005e-10"),
    ("expm1", &[F(-800.0)], "-1.0"),
    ("expm1", &[F(710.0)], "OverflowError: math range error"),
    ("log1p", &[F(-0.0)], "-0.0"),
    ("log1p", &[F(1e-20)], "1e-20"),
    ("log1p", &[F(-1.0)], "ValueError: math domain error"),
    ("log1p", &[F(-2.0)], "ValueError: math domain error"),
    ("log1p", &[F(3.5)], "1.5040773967762742"),
    ("sin", &[F(0.5)], "0.479425538604203"),
    ("sin", &[F(1e22)], "-0.8522008497671888"),
    ("sin", &[F(f64::INFINITY)], "ValueError: math domain error"),
    ("cos", &[F(0.5)], "0.8775825618903728"),
    ("tan", &[F(std::f64::consts::FRAC_PI_2)], "1.633123935319537e16"),
    ("asin", &[F(1.0)], "1.5707963267948966"),
    ("asin", &[F(1.1)], "ValueError: math domain error"),
    ("acos", &[F(-1.0)], "3.141592653589793"),
    ("acos", &[F(-1.1)], "ValueError: math domain error"),
    ("atan", &[F(f64::NEG_INFINITY)], "-1.5707963267948966"),
    ("sinh", &[F(711.0)], "OverflowError: math range error"),
    ("sinh", &[F(0.1)], "0.10016675001984403"),
    ("cosh", &[F(711.0)], "OverflowError: math range error"),
    ("cosh", &[F(1.0)], "1.5430806348152437"),
    ("tanh", &[F(0.3)], "0.2913126124515909"),
    ("sqrt", &[I(2)], "1.4142135623730951"),
    ("sqrt", &[F(-0.0)], "-0.0"),
    ("sqrt", &[I(-1)], "ValueError: math domain error"),
    ("sqrt", &[B(true)], "1.0"),
    ("sqrt", &[N], "TypeError: must be real number, not NoneType"),
    ("fabs", &[I(-3)], "3.0"),
    ("fabs", &[F(-0.0)], "0.0"),
    ("degrees", &[F(1.0)], "57.29577951308232"),
    ("radians", &[I(180)], "3.141592653589793"),
    ("isnan", &[F(f64::NAN)], "True"),
    ("isnan", &[I(1)], "False"),
    ("isnan", &[S("x")], "TypeError: must be real number, not str"),
    ("isinf", &[F(f64::NEG_INFINITY)], "True"),
    ("isfinite", &[F(f64::INFINITY)], "False"),
    (
        "isfinite",
        &[Big(
            "1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        )],
        "True",
    ),
    (
        "isfinite",
        &[Big(
            "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        )],
        "OverflowError: int too large to convert to float",
    ),
    ("floor", &[F(-0.5)], "-1"),
    (
        "floor",
        &[F(1e300)],
        "1000000000000000052504760255204420248704468581108159154915854115511802457988908195786371375080447864043704443832883878176942523235360430575644792184786706982848387200926575803737830233794788090059368953234970799945081119038967640880074652742780142494579258788820056842838115669472196386865459400540160",
    ),
    ("floor", &[B(true)], "1"),
    ("floor", &[Big("1000000000000000000000000000000")], "1000000000000000000000000000000"),
    ("floor", &[F(f64::INFINITY)], "OverflowError: cannot convert float infinity to integer"),
    ("floor", &[F(f64::NAN)], "ValueError: cannot convert float NaN to integer"),
    ("floor", &[S("a")], "TypeError: must be real number, not str"),
    ("ceil", &[F(-0.5)], "0"),
    ("ceil", &[F(2.000000001)], "3"),
    ("trunc", &[F(-2.7)], "-2"),
    ("trunc", &[F(1e19)], "10000000000000000000"),
    ("trunc", &[L(&[])], "TypeError: type list doesn't define __trunc__ method"),
    ("trunc", &[N], "TypeError: type NoneType doesn't define __trunc__ method"),
    ("log", &[I(0)], "ValueError: math domain error"),
    ("log", &[I(-1)], "ValueError: math domain error"),
    ("log", &[I(1)], "0.0"),
    ("log", &[F(0.0)], "ValueError: math domain error"),
    (
        "log",
        &[Big(
            "89884656743115795386465259539451236680898848947115328636715040578866337902750481566354238661203768010560056939935696678829394884407208311246423715319737062188883946712432742638151109800623047059726541476042502884419075341171231440736956555270413618581675255342293149119973622969239858152417678164812112068608",
        )],
        "709.0895657128241",
    ),
    (
        "log",
        &[Big(
            "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        )],
        "921.0340371976182",
    ),
    (
        "log",
        &[Big(
            "4038997629787155339700863409815084778394498166775976374862318662815021844263163724409589991283112221957087037127264409252982112748591787717033830403441930283161011881290431641966980623569028664868962702914864744551077531848115736772683548758847258321094808160079292956552763171104067984120533836065664635950242364928442451805995078317248461140444139995818842326862989533584638540917303432618956468436267462217689897536939221538008683721591946120333532143917872449136148108372559491267886787639350432567049929505139561975168349141248659914132248759237997505419159471214523173970710571263045668863231323715937900821485506870729657531757026555737371294825429353175800946829026948092511256737220542210787053051595802981233109856012113525552509973235479897937695548807826632854936270847693205577465760839058922819952696676524973128629373786196564822754641929042959146243903855562489356161956878595415082692189276329429991504770124701085279239460876288448740109138574892062762521143251789856063997453896592241444435083741307994418053089747011639244992143617911287606647084965258198883225653388806207929500332230594182854932910480899682575200047468631366224756184671205687777355791309481664752205737723827605017299803707184630307441302672768508598302249090453749312846375484742763396446462760789222817645292649569226868978755368552822174910148014846327742218968086229060583051969616187683845992803504299049605854491308472202616225188587696208053086463207413261782612698498484353406811946592391520876834837681364361483077335648507177704989176676017490814214154945785456307067444808828699697448178044358744486150076115286258469486513402087248384068655658114518474837867145754599634609879861608173455937726377253437847223098072299681760066838942906126088647741119141414552489886289568286295961338739388592134458987217604566798319860335993725331565539619297067041635560635329536488930786913392026253692233350241045325999643532468824953294370688166093949278863664041795436910656750167596038501554362222214884786870393545144578906190448059134680891645361639347000232719153886678836525568811533800230929254497238314075866436365607455976085809437067430000427425918303638570263277678578732590453700918386680277827005016588188884730521045514996708836288180634799955911110684992623893342705163686819347170019922026233208577169337941687350526454980398188591375023783468711359732633600493563136998276100001",
        )],
        "5493.061443340549",
    ),
    (
        "log",
        &[Big(
            "-10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        )],
        "ValueError: math domain error",
    ),
    ("log", &[F(f64::INFINITY)], "inf"),
    ("log", &[F(f64::NAN)], "nan"),
    ("log2", &[I(8)], "3.0"),
    (
        "log2",
        &[Big(
            "114813069527425452423283320117768198402231770208869520047764273682576626139237031385665948631650626991844596463898746277344711896086305533142593135616665318539129989145312280000688779148240044871428926990063486244781615463646388363947317026040466353970904996558162398808944629605623311649536164221970332681344168908984458505602379484807914058900934776500429002716706625830522008132236281291761267883317206598995396418127021779858404042159853183251540889433902091920554957783589672039160081957216630582755380425583726015528348786419432054508915275783882625175435528800822842770817965453762184851149029376",
        )],
        "2000.0",
    ),
    (
        "log2",
        &[Big(
            "114813069527425452423283320117768198402231770208869520047764273682576626139237031385665948631650626991844596463898746277344711896086305533142593135616665318539129989145312280000688779148240044871428926990063486244781615463646388363947317026040466353970904996558162398808944629605623311649536164221970332681344168908984458505602379484807914058900934776500429002716706625830522008132236281291761267883317206598995396418127021779858404042159853183251540889433902091920554957783589672039160081957216630582755380425583726015528348786419432054508915275783882625175435528800822842770817965453762184851149029375",
        )],
        "2000.0",
    ),
    ("log2", &[F(0.1)], "-3.321928094887362"),
    ("log10", &[I(1000)], "3.0"),
    (
        "log10",
        &[Big(
            "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        )],
        "400.0",
    ),
    ("log10", &[F(5e-324)], "-323.3062153431158"),
    ("isqrt", &[I(0)], "0"),
    ("isqrt", &[I(15)], "3"),
    ("isqrt", &[I(16)], "4"),
    ("isqrt", &[Big("18446744073709551615")], "4294967295"),
    ("isqrt", &[Big("10000000000000000000000000000000000000000")], "100000000000000000000"),
    ("isqrt", &[I(-1)], "ValueError: isqrt() argument must be nonnegative"),
    ("isqrt", &[F(2.0)], "TypeError: 'float' object cannot be interpreted as an integer"),
    ("factorial", &[I(0)], "1"),
    ("factorial", &[I(20)], "2432902008176640000"),
    ("factorial", &[I(21)], "51090942171709440000"),
    ("factorial", &[I(25)], "15511210043330985984000000"),
    ("factorial", &[I(-1)], "ValueError: factorial() not defined for negative values"),
    ("factorial", &[F(2.5)], "TypeError: 'float' object cannot be interpreted as an integer"),
    (
        "factorial",
        &[Big("18446744073709551616")],
        "OverflowError: factorial() argument should not exceed 9223372036854775807",
    ),
    ("factorial", &[Big("-18446744073709551616")], "ValueError: factorial() not defined for negative values"),
    ("log", &[I(8), I(2)], "3.0"),
    ("log", &[I(2), I(1)], "ZeroDivisionError: float division by zero"),
    ("log", &[I(2), I(0)], "ValueError: math domain error"),
    (
        "log",
        &[
            Big(
                "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
            ),
            I(10),
        ],
        "399.99999999999994",
    ),
    (
        "log",
        &[
            F(3.0),
            Big(
                "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
            ),
        ],
        "0.0011928031367991563",
    ),
    ("atan2", &[F(0.0), F(-0.0)], "3.141592653589793"),
    ("atan2", &[F(-0.0), I(-1)], "-3.141592653589793"),
    ("atan2", &[F(f64::INFINITY), F(f64::NEG_INFINITY)], "2.356194490192345"),
    ("atan2", &[F(f64::NEG_INFINITY), I(2)], "-1.5707963267948966"),
    ("atan2", &[I(1), F(f64::INFINITY)], "0.0"),
    ("atan2", &[F(f64::NAN), I(1)], "nan"),
    ("atan2", &[I(3), I(4)], "0.6435011087932844"),
    ("fmod", &[I(5), I(3)], "2.0"),
    ("fmod", &[I(-5), I(3)], "-2.0"),
    ("fmod", &[I(1), F(f64::INFINITY)], "1.0"),
    ("fmod", &[F(f64::INFINITY), I(1)], "ValueError: math domain error"),
    ("fmod", &[I(1), I(0)], "ValueError: math domain error"),
    ("fmod", &[F(f64::NAN), I(0)], "nan"),
    ("remainder", &[I(5), I(2)], "1.0"),
    ("remainder", &[I(3), I(2)], "-1.0"),
    ("remainder", &[I(-7), I(4)], "1.0"),
    ("remainder", &[F(1.5), F(1.0)], "-0.5"),
    ("remainder", &[F(2.5), F(1.0)], "0.5"),
    ("remainder", &[I(1), F(f64::INFINITY)], "1.0"),
    ("remainder", &[F(f64::INFINITY), I(1)], "ValueError: math domain error"),
    ("remainder", &[I(1), I(0)], "ValueError: math domain error"),
    ("remainder", &[F(5e-324), F(1.5e-323)], "5e-324"),
    ("remainder", &[F(1e300), F(3e-300)], "9.626317689605992e-301"),
    ("pow", &[I(2), F(0.5)], "1.4142135623730951"),
    ("pow", &[I(-8), F(0.3333333333333333)], "ValueError: math domain error"),
    ("pow", &[I(0), I(-1)], "ValueError: math domain error"),
    ("pow", &[F(-0.0), I(-3)], "ValueError: math domain error"),
    ("pow", &[I(10), I(400)], "OverflowError: math range error"),
    ("pow", &[F(f64::NAN), I(0)], "1.0"),
    ("pow", &[I(1), F(f64::NAN)], "1.0"),
    ("pow", &[F(f64::NEG_INFINITY), I(3)], "-inf"),
    ("pow", &[F(f64::NEG_INFINITY), I(-3)], "-0.0"),
    ("pow", &[F(f64::INFINITY), I(-2)], "0.0"),
    ("pow", &[F(0.5), F(f64::NEG_INFINITY)], "inf"),
    ("pow", &[F(0.5), F(f64::INFINITY)], "0.0"),
    ("pow", &[I(-1), F(f64::INFINITY)], "1.0"),
    ("pow", &[I(2), F(f64::NEG_INFINITY)], "0.0"),
    ("pow", &[I(-2), I(3)], "-8.0"),
    ("copysign", &[I(1), F(-0.0)], "-1.0"),
    ("copysign", &[F(f64::NAN), I(-1)], "nan"),
    ("hypot", &[], "0.0"),
    ("hypot", &[I(3), I(4)], "5.0"),
    ("hypot", &[I(-3)], "3.0"),
    ("hypot", &[F(1e-320), F(1e-320)], "1.414e-320"),
    ("hypot", &[F(1e308), F(1e308)], "1.4142135623730951e308"),
    ("hypot", &[F(0.1), F(0.2), F(0.3)], "0.3741657386773941"),
    ("hypot", &[F(1.5), F(f64::INFINITY), F(f64::NAN)], "inf"),
    ("hypot", &[F(f64::NAN), I(1)], "nan"),
    ("hypot", &[F(1e200), F(1e-200), I(5)], "1e200"),
    (
        "hypot",
        &[
            Big(
                "179769313486231590772930519078902473361797697894230657273430081157732675805500963132708477322407536021120113879871393357658789768814416622492847430639474124377767893424865485276302219601246094119453082952085005768838150682342462881473913110540827237163350510684586298239947245938479716304835356329624224137216",
            ),
            I(1),
        ],
        "OverflowError: int too large to convert to float",
    ),
    ("hypot", &[S("a")], "TypeError: must be real number, not str"),
    ("dist", &[L(&[I(1), I(2)]), L(&[I(4), I(6)])], "5.0"),
    (
        "dist",
        &[L(&[I(1)]), L(&[I(1), I(2)])],
        "ValueError: both points must have the same number of dimensions",
    ),
    ("dist", &[L(&[F(0.1), F(0.2), F(0.3)]), L(&[F(0.3), F(0.2), F(0.2)])], "0.22360679774997894"),
    ("dist", &[I(3), L(&[I(1)])], "TypeError: 'int' object is not iterable"),
    ("dist", &[L(&[]), L(&[])], "0.0"),
    ("fsum", &[L(&[F(0.1), F(0.1), F(0.1), F(0.1), F(0.1), F(0.1), F(0.1), F(0.1), F(0.1), F(0.1)])], "1.0"),
    ("fsum", &[L(&[F(1e16), F(1.0), F(1e-16)])], "1.0000000000000002e16"),
    ("fsum", &[L(&[F(1e308), F(1e308), F(-1e308)])], "OverflowError: intermediate overflow in fsum"),
    ("fsum", &[L(&[F(f64::INFINITY), F(f64::NEG_INFINITY)])], "ValueError: -inf + inf in fsum"),
    ("fsum", &[L(&[F(f64::INFINITY), F(f64::NAN)])], "nan"),
    ("fsum", &[L(&[F(f64::INFINITY), F(f64::INFINITY)])], "inf"),
    ("fsum", &[L(&[F(-0.0)])], "0.0"),
    ("fsum", &[L(&[])], "0.0"),
    ("fsum", &[L(&[I(1), I(2), S("a")])], "TypeError: must be real number, not str"),
    ("fsum", &[L(&[F(1e-16), F(1.0), F(1e16)])], "1.0000000000000002e16"),
    ("fsum", &[L(&[F(9007199254740992.0), F(1.0), F(7.888609052210118e-31)])], "9007199254740994.0"),
    ("prod", &[L(&[])], "1"),
    ("prod", &[L(&[I(1), I(2), I(3)])], "6"),
    ("prod", &[L(&[F(1.5), I(2)])], "3.0"),
    ("prod", &[L(&[I(4611686018427387904), I(2), F(0.5)])], "4.611686018427388e18"),
    ("prod", &[L(&[S("a"), I(3)])], "'aaa'"),
    ("prod", &[L(&[I(1099511627776), I(1099511627776)])], "1208925819614629174706176"),
    ("gcd", &[], "0"),
    ("gcd", &[I(12), I(-18)], "6"),
    ("gcd", &[I(0), I(0)], "0"),
    ("gcd", &[I(-7)], "7"),
    (
        "gcd",
        &[Big("1267650600228229401496703205376"), Big("7427640235712281649394745344")],
        "2475880078570760549798248448",
    ),
    ("gcd", &[F(1.0), I(2)], "TypeError: 'float' object cannot be interpreted as an integer"),
    ("gcd", &[B(true), I(4)], "1"),
    ("lcm", &[], "1"),
    ("lcm", &[I(4), I(-6)], "12"),
    ("lcm", &[I(0), I(5)], "0"),
    ("lcm", &[I(-7)], "7"),
    ("lcm", &[Big("18446744073709551616"), I(3458764513820540928)], "55340232221128654848"),
    ("comb", &[I(5), I(2)], "10"),
    ("comb", &[I(5), I(6)], "0"),
    ("comb", &[I(67), I(33)], "14226520737620288370"),
    ("comb", &[I(66), I(33)], "7219428434016265740"),
    ("comb", &[I(200), I(100)], "90548514656103281165404177077484163874504589675413336841320"),
    (
        "comb",
        &[Big("1000000000000000000000000000000"), I(2)],
        "499999999999999999999999999999500000000000000000000000000000",
    ),
    ("comb", &[Big("9223372036854775808"), I(9223372036854775807)], "9223372036854775808"),
    ("comb", &[I(-1), I(2)], "ValueError: n must be a non-negative integer"),
    ("comb", &[I(2), I(-1)], "ValueError: k must be a non-negative integer"),
    (
        "comb",
        &[Big("1361129467683753853853498429727072845824"), Big("1180591620717411303424")],
        "OverflowError: min(n - k, k) must not exceed 9223372036854775807",
    ),
    ("comb", &[F(5.0), I(2)], "TypeError: 'float' object cannot be interpreted as an integer"),
    ("comb", &[I(5)], "TypeError: comb expected 2 arguments, got 1"),
    ("perm", &[I(5)], "120"),
    ("perm", &[I(5), I(2)], "20"),
    ("perm", &[I(5), N], "120"),
    ("perm", &[I(5), I(6)], "0"),
    ("perm", &[I(30), I(25)], "2210440498434925488635904000000"),
    (
        "perm",
        &[Big("1000000000000000000000000000000"), I(2)],
        "999999999999999999999999999999000000000000000000000000000000",
    ),
    ("perm", &[I(-1), I(2)], "ValueError: n must be a non-negative integer"),
    ("perm", &[I(2), I(-1)], "ValueError: k must be a non-negative integer"),
    (
        "perm",
        &[Big("1361129467683753853853498429727072845824"), Big("1180591620717411303424")],
        "OverflowError: k must not exceed 9223372036854775807",
    ),
    ("perm", &[I(-1)], "ValueError: factorial() not defined for negative values"),
    ("sqrt", &[], "TypeError: math.sqrt() takes exactly one argument (0 given)"),
    ("sqrt", &[I(1), I(2)], "TypeError: math.sqrt() takes exactly one argument (2 given)"),
    ("pow", &[I(1)], "TypeError: pow expected 2 arguments, got 1"),
    ("log", &[], "TypeError: log expected at least 1 argument, got 0"),
    ("log", &[I(1), I(2), I(3)], "TypeError: log expected at most 2 arguments, got 3"),
    ("isclose", &[F(1.0), F(1.0000000001)], "True"),
    ("isclose", &[I(1)], "TypeError: isclose() missing required argument 'b' (pos 2)"),
    ("comb", &[I(1), I(2), I(3)], "TypeError: comb expected 2 arguments, got 3"),
    ("perm", &[], "TypeError: perm expected at least 1 argument, got 0"),
    ("prod", &[], "TypeError: prod() takes exactly 1 positional argument (0 given)"),
    ("fsum", &[I(1)], "TypeError: 'int' object is not iterable"),
];
