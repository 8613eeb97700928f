use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};

use super::*;

const TERMINAL: Surface = Surface { terminal: true, width: Some(80), rows: Some(40), ascii: false, colours: false };

fn render(format: Format, surface: Surface, schema: &SchemaRef, batches: &[RecordBatch]) -> (String, Shown) {
    let mut renderer = renderer(format, schema, surface, "results");
    let mut out = Vec::new();
    for batch in batches {
        renderer.batch(batch, &mut out).expect("memory takes all text");
    }
    let shown = renderer.finish(&mut out).expect("memory takes all text");
    (String::from_utf8(out).expect("text"), shown)
}

fn check(format: Format, batch: &RecordBatch, expected: &str) {
    let (text, _) = render(format, Surface::default(), &batch.schema(), std::slice::from_ref(batch));
    assert_eq!(text, expected);
}

fn ducks() -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Alma"), Some("Bert, \"B\""), Some(""), None]));
    let weights: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.25), None, Some(f64::NAN), Some(-3.0)]));
    RecordBatch::try_from_iter([("name", names), ("weight", weights)]).expect("columns of one length")
}

fn numbers(rows: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    RecordBatch::try_from_iter([("n", n)]).expect("one column")
}

#[test]
fn a_table_lines_up_and_numbers_stand_right() {
    check(
        Format::Table,
        &ducks(),
        "\
┌───────────┬────────┐
│ name      │ weight │
│ string    │ double │
├───────────┼────────┤
│ Alma      │   1.25 │
│ Bert, \"B\" │   NULL │
│           │    NaN │
│ NULL      │   -3.0 │
└───────────┴────────┘
",
    );
}

#[test]
fn csv_tells_null_from_an_empty_string() {
    check(Format::Csv, &ducks(), "name,weight\nAlma,1.25\n\"Bert, \"\"B\"\"\",\n\"\",NaN\n,-3.0\n");
}

#[test]
fn json_is_one_array_over_all_batches() {
    let batch = ducks().slice(0, 2);
    let (text, shown) =
        render(Format::Json, Surface::default(), &batch.schema(), &[batch.slice(0, 1), batch.slice(1, 1)]);
    let expected = "[\n  {\"name\":\"Alma\",\"weight\":1.25},\n  {\"name\":\"Bert, \\\"B\\\"\",\"weight\":null}\n]\n";
    assert_eq!((text.as_str(), shown.rows), (expected, 2));
    let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(parsed[1]["name"], "Bert, \"B\"");
}

#[test]
fn jsonl_is_an_object_a_line() {
    check(Format::Jsonl, &ducks().slice(2, 2), "{\"name\":\"\",\"weight\":null}\n{\"name\":null,\"weight\":-3.0}\n");
}

#[test]
fn markdown_escapes_what_would_end_a_cell() {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a|b\nc"]));
    let batch = RecordBatch::try_from_iter([("x|y", names), ("n", numbers(1).column(0).clone())]).expect("columns");
    check(Format::Markdown, &batch, "| x\\|y | n |\n|---|---:|\n| a\\|b\\\\nc | 0 |\n");
}

#[test]
fn line_shows_a_field_a_line() {
    check(Format::Line, &ducks().slice(0, 2), "  name = Alma\nweight = 1.25\n\n  name = Bert, \"B\"\nweight = NULL\n");
}

#[test]
fn a_result_without_rows_still_has_its_columns() {
    let schema: SchemaRef = ducks().schema();
    let text = |format| render(format, Surface::default(), &schema, &[]).0;
    assert_eq!(text(Format::Csv), "name,weight\n");
    assert_eq!(text(Format::Json), "[]\n");
    assert_eq!(text(Format::Jsonl), "");
    assert_eq!(text(Format::Markdown), "| name | weight |\n|---|---:|\n");
    assert!(text(Format::Table).contains("│ name   │ weight │"));
}

#[test]
fn a_terminal_shows_the_first_and_the_last_rows() {
    for batch_rows in [1, 7, 1000] {
        let all = numbers(1000);
        let batches: Vec<_> =
            (0..1000).step_by(batch_rows).map(|at| all.slice(at, batch_rows.min(1000 - at))).collect();
        let (text, shown) = render(Format::Table, TERMINAL, &all.schema(), &batches);
        assert_eq!(shown, Shown { rows: 1000, shown: 40 });
        let body: Vec<_> = text.lines().skip(4).collect();
        assert_eq!((body[0], body[19], body[21], body[40]), ("│      0 │", "│     19 │", "│    980 │", "│    999 │"));
    }
}

#[test]
fn a_few_rows_too_many_are_still_the_last_ones() {
    let all = numbers(45);
    let (text, shown) = render(Format::Table, TERMINAL, &all.schema(), &[all.slice(0, 40), all.slice(40, 5)]);
    assert_eq!(shown, Shown { rows: 45, shown: 40 });
    let body: Vec<_> = text.lines().skip(4).collect();
    assert_eq!((body[19], body[21], body[40]), ("│     19 │", "│     25 │", "│     44 │"));
}

#[test]
fn elsewhere_a_table_has_all_its_rows() {
    let all = numbers(25_000);
    let batches: Vec<_> = (0..25_000).step_by(1000).map(|at| all.slice(at, 1000)).collect();
    let (text, shown) = render(Format::Table, Surface::default(), &all.schema(), &batches);
    assert_eq!((shown.shown, text.lines().count()), (25_000, 25_000 + 5));
}

#[test]
fn null_is_not_the_text_null_and_boxes_can_do_with_ascii() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
    let texts = Arc::new(StringArray::from(vec![Some("NULL"), None, Some("")]));
    let batch = RecordBatch::try_new(schema.clone(), vec![texts]).expect("one column");
    let shown = |surface: Surface| render(Format::Table, surface, &schema, std::slice::from_ref(&batch)).0;
    let coloured = shown(Surface { colours: true, ..TERMINAL });
    assert!(coloured.contains("│ NULL   │\n│ \u{1b}[2mNULL\u{1b}[0m   │\n│        │"), "{coloured}");
    let ascii = shown(Surface { ascii: true, ..TERMINAL });
    assert!(ascii.is_ascii() && ascii.starts_with("+--------+\n| a      |"), "{ascii}");
    let wide = render(Format::Table, Surface { ascii: true, width: Some(10), ..TERMINAL }, &schema, &[batch]).0;
    assert!(wide.lines().all(|line| line.len() <= 10), "{wide}");
}

#[test]
fn no_format_lets_a_value_write_to_the_terminal() {
    let schema = Arc::new(Schema::new(vec![Field::new("a\u{1b}]0;x\u{7}", DataType::Utf8, true)]));
    let hostile = Arc::new(StringArray::from(vec!["\u{1b}]0;pwned\u{7}\u{9b}31m\u{202e}\r"]));
    let batch = RecordBatch::try_new(schema.clone(), vec![hostile]).expect("one column");
    use clap::ValueEnum;
    for format in Format::value_variants() {
        let (text, _) = render(*format, TERMINAL, &schema, std::slice::from_ref(&batch));
        let raw = text.chars().find(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}'));
        assert_eq!(raw, None, "{format:?}: {text:?}");
    }
}

#[test]
fn a_pager_gets_all_rows_and_no_control_characters() {
    let all = numbers(1000);
    let surface = Surface { rows: None, width: None, ..TERMINAL };
    let (text, shown) = render(Format::Table, surface, &all.schema(), &[all]);
    assert_eq!((shown, text.lines().count()), (Shown { rows: 1000, shown: 1000 }, 1005));
}

#[test]
fn lines_fit_the_terminal() {
    let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(200)]));
    let wide = RecordBatch::try_from_iter((0..3).map(|i| (format!("c{i}"), long.clone()))).expect("columns");
    let many = RecordBatch::try_from_iter((0..40).map(|i| (format!("c{i}"), long.clone()))).expect("columns");
    for batch in [wide, many] {
        let (text, _) = render(Format::Table, TERMINAL, &batch.schema(), std::slice::from_ref(&batch));
        for line in text.lines() {
            assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
        }
        assert!(text.contains("c0") && text.contains('…'));
    }
}

#[test]
fn values_cannot_command_the_terminal() {
    let hostile = "\u{1b}]0;title\u{7}\u{202e}x\r";
    let names: ArrayRef = Arc::new(StringArray::from(vec![hostile]));
    let batch = RecordBatch::try_from_iter([("\u{1b}[2J", names)]).expect("one column");
    for format in [Format::Table, Format::Csv, Format::Json, Format::Jsonl, Format::Markdown, Format::Line] {
        let (text, _) = render(format, TERMINAL, &batch.schema(), std::slice::from_ref(&batch));
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}') && !text.contains('\r'), "{format:?}: {text:?}");
    }
}

#[test]
fn nested_values_are_json_in_csv() {
    let lists: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
    let batch = RecordBatch::try_from_iter([("l", lists), ("f", flags)]).expect("columns");
    check(Format::Csv, &batch, "l,f\n\"[1,null]\",true\n,false\n[],true\n");
}

#[test]
fn no_columns_is_no_panic() {
    let schema: SchemaRef = Arc::new(Schema::empty());
    for format in [Format::Table, Format::Csv, Format::Json, Format::Jsonl, Format::Markdown, Format::Line] {
        let _ = render(format, TERMINAL, &schema, &[]);
    }
}

#[test]
fn tabs_separate_and_commas_need_no_quotes() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), Some("c\td"), None]));
    let batch = RecordBatch::try_from_iter([("t", text), ("n", numbers(3).column(0).clone())]).expect("columns");
    check(Format::Tsv, &batch, "t\tn\na,b\t0\n\"c\td\"\t1\n\t2\n");
}

#[test]
fn html_escapes_and_tells_null_from_an_empty_text() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("<b>&\"\u{1b}[31m"), Some(""), None]));
    let batch = RecordBatch::try_from_iter([("t<", text), ("n", numbers(3).column(0).clone())]).expect("columns");
    check(
        Format::Html,
        &batch,
        "<table>\n<thead>\n<tr><th>t&lt;</th><th>n</th></tr>\n</thead>\n<tbody>\n\
         <tr><td>&lt;b&gt;&amp;&quot;\\u{1b}[31m</td><td align=\"right\">0</td></tr>\n\
         <tr><td></td><td align=\"right\">1</td></tr>\n\
         <tr><td class=\"null\"></td><td align=\"right\">2</td></tr>\n</tbody>\n</table>\n",
    );
    check(
        Format::Html,
        &batch.slice(0, 0),
        "<table>\n<thead>\n<tr><th>t&lt;</th><th>n</th></tr>\n</thead>\n<tbody>\n</tbody>\n</table>\n",
    );
}

#[test]
fn inserts_are_statements_of_each_row() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("it's"), None]));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-1.5)]));
    let days: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![0, 1]));
    let bytes: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![&b"\x00\xff"[..], b""]));
    let yes: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let batch = RecordBatch::try_from_iter([("a`b", text), ("n", numbers), ("d", days), ("x", bytes), ("y", yes)]);
    check(
        Format::Insert,
        &batch.expect("columns of one length"),
        "INSERT INTO results (`a``b`, `n`, `d`, `x`, `y`) VALUES ('it''s', CAST('NaN' AS DOUBLE), DATE '1970-01-01', X'00ff', true);\n\
         INSERT INTO results (`a``b`, `n`, `d`, `x`, `y`) VALUES (NULL, -1.5, DATE '1970-01-02', X'', false);\n",
    );
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]));
    let batch = RecordBatch::try_from_iter([("l", list)]).expect("a column");
    let mut renderer = renderer(Format::Insert, &batch.schema(), Surface::default(), "t");
    let error = renderer.batch(&batch, &mut Vec::new()).expect_err("no literal");
    assert!(std::error::Error::source(&error).is_some_and(|why| why.to_string().contains("column l")), "{error}");
}

#[test]
fn plans_are_trees_and_no_boxes() {
    let kinds: ArrayRef = Arc::new(StringArray::from(vec!["logical_plan", "physical_plan"]));
    let plans: ArrayRef = Arc::new(StringArray::from(vec!["Filter: a\n  TableScan: t", "FilterExec\u{1b}[2J"]));
    let batch = RecordBatch::try_from_iter([("plan_type", kinds), ("plan", plans)]).expect("two columns");
    check(
        Format::Table,
        &batch,
        "logical plan\n  Filter: a\n    TableScan: t\n\nphysical plan\n  FilterExec\\u{1b}[2J\n",
    );
}
