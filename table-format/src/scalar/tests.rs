use arrow::array::{
    BinaryArray, BooleanArray, Date64Array, Decimal128Array, DictionaryArray, Float32Array, Int8Array, Int64Array,
    StringArray, StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use proptest::prelude::*;

use super::*;

const TYPES: &[PrimitiveType] = &[
    PrimitiveType::String,
    PrimitiveType::Long,
    PrimitiveType::Integer,
    PrimitiveType::Short,
    PrimitiveType::Byte,
    PrimitiveType::Float,
    PrimitiveType::Double,
    PrimitiveType::Decimal(38, 10),
    PrimitiveType::Decimal(5, 0),
    PrimitiveType::Boolean,
    PrimitiveType::Binary,
    PrimitiveType::Date,
    PrimitiveType::Timestamp,
    PrimitiveType::TimestampNtz,
];

fn read(text: &str, data_type: PrimitiveType) -> Option<Scalar> {
    Scalar::from_partition_value(Some(text), &data_type).ok()
}

#[test]
fn the_empty_text_is_null_for_every_type() {
    for data_type in TYPES {
        assert_eq!(read("", *data_type), Some(Scalar::Null));
        assert_eq!(Scalar::Null.to_partition_value(data_type), None);
    }
    assert_eq!(Scalar::String(String::new()).to_partition_value(&PrimitiveType::String), None);
}

#[test]
fn timestamps_are_read_in_every_spelling_and_written_in_utc() {
    let expected = Some(Scalar::Timestamp(123_456));
    for text in [
        "1970-01-01 00:00:00.123456",
        "1970-01-01T00:00:00.123456Z",
        "1970-01-01T01:00:00.123456+01:00",
        "1969-12-31 19:00:00.1234569-0500",
        "1970-01-01T00:53:28.123456+00:53:28",
    ] {
        assert_eq!(read(text, PrimitiveType::Timestamp), expected, "{text}");
    }
    assert_eq!(read("1970-01-01", PrimitiveType::Timestamp), Some(Scalar::Timestamp(0)));
    assert_eq!(read("1970-01-01 00:00:01", PrimitiveType::TimestampNtz), Some(Scalar::TimestampNtz(1_000_000)));
    for text in ["1970-01-01 24:00:00", "1970-13-01", "1970-01-01 00:00:00.x", "1970-01-01T00:00:00+", "now", "T", " "]
    {
        assert_eq!(read(text, PrimitiveType::Timestamp), None, "{text}");
    }
    let written = |scalar: Scalar, data_type| scalar.to_partition_value(&data_type);
    let utc = written(Scalar::Timestamp(-1), PrimitiveType::Timestamp);
    assert_eq!(utc.as_deref(), Some("1969-12-31T23:59:59.999999Z"));
    let local = written(Scalar::TimestampNtz(0), PrimitiveType::TimestampNtz);
    assert_eq!(local.as_deref(), Some("1970-01-01 00:00:00.000000"));
}

#[test]
fn decimals_are_read_exactly_or_not_at_all() {
    let decimal = |text: &str| match read(text, PrimitiveType::Decimal(10, 2)) {
        Some(Scalar::Decimal { unscaled, scale: 2 }) => Some(unscaled),
        _ => None,
    };
    for (text, expected) in [
        ("1", 100),
        ("-1.5", -150),
        ("+0.25", 25),
        ("1.500", 150),
        ("15E-1", 150),
        ("1E+3", 100_000),
        ("0E-10", 0),
        (".5", 50),
        ("99999999.99", 9_999_999_999),
    ] {
        assert_eq!(decimal(text), Some(expected), "{text}");
    }
    for text in ["1.005", "100000000.00", "1e", "--1", ".", "1.2.3", "0x1", "1E99999999999"] {
        assert_eq!(decimal(text), None, "{text}");
    }
}

#[test]
fn values_out_of_a_types_range_are_refused() {
    assert_eq!(read("128", PrimitiveType::Byte), None);
    assert_eq!(read("-128", PrimitiveType::Byte), Some(Scalar::Long(-128)));
    assert_eq!(read("1.0", PrimitiveType::Long), None);
    assert_eq!(read("TRUE", PrimitiveType::Boolean), Some(Scalar::Boolean(true)));
    assert_eq!(read("1", PrimitiveType::Boolean), None);
    let error = Scalar::from_partition_value(Some("x\u{1b}[31m"), &PrimitiveType::Date).expect_err("no date");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
}

#[test]
fn java_spells_doubles_its_own_way() {
    assert_eq!(read("-Infinity", PrimitiveType::Double), Some(Scalar::Double(f64::NEG_INFINITY)));
    assert!(matches!(read("NaN", PrimitiveType::Float), Some(Scalar::Double(v)) if v.is_nan()));
    assert_eq!(read("1.0E10", PrimitiveType::Double), Some(Scalar::Double(1e10)));
    assert_eq!(Scalar::Double(f64::from(0.1f32)).to_partition_value(&PrimitiveType::Float).as_deref(), Some("0.1"));
    assert_eq!(Scalar::Double(f64::INFINITY).to_partition_value(&PrimitiveType::Float).as_deref(), Some("Infinity"));
}

#[test]
fn values_compare_within_their_kind_only() {
    let decimal = |unscaled, scale| Scalar::Decimal { unscaled, scale };
    assert_eq!(decimal(10, 1).compare(&decimal(100, 2)), Some(Ordering::Equal));
    assert_eq!(decimal(-11, 1).compare(&decimal(-1, 0)), Some(Ordering::Less));
    assert_eq!(decimal(i128::MAX, 0).compare(&decimal(i128::MAX, 38)), Some(Ordering::Greater));
    assert_eq!(Scalar::Double(f64::NAN).compare(&Scalar::Double(f64::INFINITY)), Some(Ordering::Greater));
    assert_eq!(Scalar::Double(-0.0).compare(&Scalar::Double(0.0)), Some(Ordering::Equal));
    assert_eq!(Scalar::Null.compare(&Scalar::Null), None);
    assert_eq!(Scalar::Long(1).compare(&Scalar::Double(1.0)), None);
    assert_eq!(Scalar::Timestamp(1).compare(&Scalar::TimestampNtz(1)), None);
}

#[test]
fn any_arrow_layout_gives_its_value() {
    let first = |array: &dyn Array| Scalar::from_array(array, 0).expect("a value");
    assert_eq!(first(&Int8Array::from(vec![-1])), Scalar::Long(-1));
    assert_eq!(first(&UInt64Array::from(vec![u64::MAX])), Scalar::Decimal { unscaled: u64::MAX.into(), scale: 0 });
    assert_eq!(first(&Float32Array::from(vec![0.5])), Scalar::Double(0.5));
    assert_eq!(first(&StringViewArray::from(vec!["x"])), Scalar::String("x".into()));
    assert_eq!(first(&BinaryArray::from_iter_values([b"x"])), Scalar::Binary(b"x".to_vec()));
    assert_eq!(first(&BooleanArray::from(vec![true])), Scalar::Boolean(true));
    assert_eq!(first(&Date64Array::from(vec![-1])), Scalar::Date(-1));
    assert_eq!(first(&TimestampMillisecondArray::from(vec![1])), Scalar::TimestampNtz(1000));
    let nanos = TimestampNanosecondArray::from(vec![-1]).with_timezone("UTC");
    assert_eq!(first(&nanos), Scalar::Timestamp(-1));
    let decimals = Decimal128Array::from(vec![5]).with_precision_and_scale(9, 2).expect("fits");
    assert_eq!(first(&decimals), Scalar::Decimal { unscaled: 5, scale: 2 });
    let dictionary: DictionaryArray<Int8Type> = ["a", "b"].into_iter().collect();
    assert_eq!(Scalar::from_array(&dictionary, 1).expect("a value"), Scalar::String("b".into()));
    assert_eq!(first(&Int64Array::from(vec![None])), Scalar::Null);
    assert!(Scalar::from_array(&Int64Array::from(vec![1]), 1).is_err());
}

#[test]
fn partition_arrays_have_the_schemas_types() {
    for data_type in TYPES {
        let array = partition_array([None, Some("")].into_iter(), data_type).expect("nulls");
        assert_eq!(array.data_type(), &data_type.to_arrow(), "{data_type:?}");
        assert_eq!((array.len(), array.null_count()), (2, 2));
    }
    let texts = [Some("7"), Some("7"), None, Some("8")];
    let array = partition_array(texts.into_iter(), &PrimitiveType::Long).expect("numbers");
    assert_eq!(array.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(7), Some(7), None, Some(8)]));
    assert!(partition_array([Some("x")].into_iter(), &PrimitiveType::Long).is_err());
    let names = partition_array([Some("x")].into_iter(), &PrimitiveType::String).expect("text");
    assert_eq!(names.as_string::<i32>(), &StringArray::from(vec!["x"]));
}

fn scalar(data_type: PrimitiveType) -> BoxedStrategy<Scalar> {
    let range = |low: i64, high: i64| (low..=high).prop_map(Scalar::Long).boxed();
    match data_type {
        PrimitiveType::String => "\\PC{1,9}".prop_map(Scalar::String).boxed(),
        PrimitiveType::Long => any::<i64>().prop_map(Scalar::Long).boxed(),
        PrimitiveType::Integer => range(i32::MIN.into(), i32::MAX.into()),
        PrimitiveType::Short => range(i16::MIN.into(), i16::MAX.into()),
        PrimitiveType::Byte => range(i8::MIN.into(), i8::MAX.into()),
        PrimitiveType::Float => any::<f32>().prop_map(|v| Scalar::Double(v.into())).boxed(),
        PrimitiveType::Double => any::<f64>().prop_map(Scalar::Double).boxed(),
        PrimitiveType::Decimal(precision, scale) => {
            let most = 10i128.pow(precision.into()) - 1;
            (-most..=most).prop_map(move |unscaled| Scalar::Decimal { unscaled, scale }).boxed()
        }
        PrimitiveType::Boolean => any::<bool>().prop_map(Scalar::Boolean).boxed(),
        PrimitiveType::Binary => prop::collection::vec(any::<u8>(), 1..9).prop_map(Scalar::Binary).boxed(),
        PrimitiveType::Date => (-1_000_000i32..4_000_000).prop_map(Scalar::Date).boxed(),
        PrimitiveType::Timestamp => (-(1i64 << 56)..1 << 58).prop_map(Scalar::Timestamp).boxed(),
        PrimitiveType::TimestampNtz => (-(1i64 << 56)..1 << 58).prop_map(Scalar::TimestampNtz).boxed(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_survives_being_a_partition_value(
        (data_type, value) in prop::sample::select(TYPES).prop_flat_map(|t| (Just(t), scalar(t)))
    ) {
        let text = value.to_partition_value(&data_type).expect("not null");
        prop_assert_eq!(&Scalar::from_partition_value(Some(&text), &data_type).expect("read back"), &value, "{}", text);
        let array = partition_array(std::iter::once(Some(text.as_str())), &data_type).expect("typed");
        prop_assert_eq!(&Scalar::from_array(array.as_ref(), 0).expect("read back"), &value);
        let json = serde_json::to_string(&value).expect("serialised");
        prop_assert_eq!(&serde_json::from_str::<Scalar>(&json).expect("deserialised"), &value);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,20}", dates in "[-+0-9TZ:. ]{0,30}", index in 0..TYPES.len()) {
        for text in [text, dates] {
            let _ = Scalar::from_partition_value(Some(&text), &TYPES[index]);
        }
    }
}
