//! SQL type names as Spark spells them, to and from Delta types.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use floe_table_format::schema::{ArrayType, MapType};
use floe_table_format::{DataType, PrimitiveType, StructField, StructType};

use crate::error::{QueryError, Result};

/// How deep types may nest in SQL.
const DEPTH_MAX: usize = 64;

/// Reads one type: `INT`, `DECIMAL(10, 2)`, `ARRAY<STRUCT<a: INT, b: MAP<STRING, DATE>>>`.
pub(crate) fn parse_type(parser: &mut Parser<'_>) -> Result<DataType> {
    parse_nested(parser, 0)
}

fn parse_nested(parser: &mut Parser<'_>, depth: usize) -> Result<DataType> {
    if depth > DEPTH_MAX {
        return Err(QueryError::syntax("the type is nested too deeply"));
    }
    let name = parser.parse_identifier()?.value.to_uppercase();
    let primitive = match name.as_str() {
        "STRING" | "TEXT" => PrimitiveType::String,
        "VARCHAR" | "CHAR" => {
            // Delta has one string type; a length would be a promise that nobody keeps.
            if parser.consume_token(&Token::LParen) {
                parser.parse_literal_uint()?;
                parser.expect_token(&Token::RParen)?;
            }
            PrimitiveType::String
        }
        "BIGINT" | "LONG" | "INT8" | "INT64" => PrimitiveType::Long,
        "INT" | "INTEGER" | "INT4" | "INT32" => PrimitiveType::Integer,
        "SMALLINT" | "SHORT" | "INT2" | "INT16" => PrimitiveType::Short,
        "TINYINT" | "BYTE" => PrimitiveType::Byte,
        "FLOAT" | "REAL" | "FLOAT4" => PrimitiveType::Float,
        "DOUBLE" | "FLOAT8" => {
            let _ = parser.parse_keyword(Keyword::PRECISION);
            PrimitiveType::Double
        }
        "BOOLEAN" | "BOOL" => PrimitiveType::Boolean,
        "BINARY" | "BYTEA" | "BLOB" => PrimitiveType::Binary,
        "DATE" => PrimitiveType::Date,
        "TIMESTAMP" | "TIMESTAMP_LTZ" | "TIMESTAMPTZ" => PrimitiveType::Timestamp,
        "TIMESTAMP_NTZ" | "DATETIME" => PrimitiveType::TimestampNtz,
        "DECIMAL" | "DEC" | "NUMERIC" => parse_decimal(parser)?,
        "VOID" => return Ok(DataType::Void),
        "VARIANT" => return Ok(DataType::Variant),
        "ARRAY" => {
            parser.expect_token(&Token::Lt)?;
            let element = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Gt)?;
            return Ok(DataType::Array(Box::new(ArrayType { element, contains_null: true })));
        }
        "MAP" => {
            parser.expect_token(&Token::Lt)?;
            let key = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Comma)?;
            let value = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Gt)?;
            return Ok(DataType::Map(Box::new(MapType { key, value, value_contains_null: true })));
        }
        "STRUCT" => {
            parser.expect_token(&Token::Lt)?;
            let mut fields = Vec::new();
            loop {
                let name = parser.parse_identifier()?.value;
                let _ = parser.consume_token(&Token::Colon);
                let data_type = parse_nested(parser, depth + 1)?;
                let nullable = !parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]);
                let mut field = StructField { name, data_type, nullable, metadata: Default::default() };
                if parser.parse_keyword(Keyword::COMMENT) {
                    field.metadata.insert("comment".into(), parser.parse_literal_string()?.into());
                }
                fields.push(field);
                if !parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            parser.expect_token(&Token::Gt)?;
            return Ok(DataType::Struct(Box::new(StructType { fields })));
        }
        other => {
            const KNOWN: &[&str] = &[
                "STRING",
                "BIGINT",
                "LONG",
                "INT",
                "INTEGER",
                "SMALLINT",
                "SHORT",
                "TINYINT",
                "BYTE",
                "FLOAT",
                "DOUBLE",
                "BOOLEAN",
                "BINARY",
                "DATE",
                "TIMESTAMP",
                "TIMESTAMP_NTZ",
                "DECIMAL",
                "ARRAY",
                "MAP",
                "STRUCT",
            ];
            let nearest = floe_table_format::schema::nearest(other, KNOWN.iter().copied());
            let hint = nearest.map(|n| format!(", did you mean {n}?")).unwrap_or_default();
            return Err(QueryError::syntax(format!(
                "unknown type {}{hint}",
                floe_table_format::error::printable(other)
            )));
        }
    };
    Ok(DataType::Primitive(primitive))
}

fn parse_decimal(parser: &mut Parser<'_>) -> Result<PrimitiveType> {
    const PRECISION_MAX: u64 = 38;
    let (mut precision, mut scale) = (10, 0);
    if parser.consume_token(&Token::LParen) {
        precision = parser.parse_literal_uint()?;
        if parser.consume_token(&Token::Comma) {
            scale = parser.parse_literal_uint()?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    if precision == 0 || precision > PRECISION_MAX || scale > precision {
        return Err(QueryError::syntax(format!(
            "DECIMAL({precision}, {scale}): the precision is 1 to {PRECISION_MAX}, the scale at most the precision"
        )));
    }
    Ok(PrimitiveType::Decimal(precision as u8, scale as u8))
}

/// A type as Spark's DESCRIBE writes it: `array<struct<a:int>>`.
pub(crate) fn type_name(data_type: &DataType) -> String {
    spelled(data_type, &|word| word.to_owned())
}

/// As [`type_name`], and Arrow's own name for a type that Delta does not have.
pub(crate) fn arrow_type_name(data_type: &arrow::datatypes::DataType) -> String {
    match DataType::from_arrow(data_type) {
        Ok(own) => type_name(&own),
        Err(_) => data_type.to_string(),
    }
}

/// A type as a statement writes it: `ARRAY<STRUCT<a:INT>>`.
pub(crate) fn sql_type(data_type: &DataType) -> String {
    spelled(data_type, &|word| word.to_uppercase())
}

fn spelled(data_type: &DataType, word: &dyn Fn(&str) -> String) -> String {
    match data_type {
        DataType::Primitive(primitive) => word(&match primitive {
            PrimitiveType::String => "string".into(),
            PrimitiveType::Long => "bigint".into(),
            PrimitiveType::Integer => "int".into(),
            PrimitiveType::Short => "smallint".into(),
            PrimitiveType::Byte => "tinyint".into(),
            PrimitiveType::Float => "float".into(),
            PrimitiveType::Double => "double".into(),
            PrimitiveType::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            PrimitiveType::Boolean => "boolean".into(),
            PrimitiveType::Binary => "binary".into(),
            PrimitiveType::Date => "date".into(),
            PrimitiveType::Timestamp => "timestamp".into(),
            PrimitiveType::TimestampNtz => "timestamp_ntz".to_owned(),
        }),
        DataType::Array(array) => format!("{}<{}>", word("array"), spelled(&array.element, word)),
        DataType::Map(map) => format!("{}<{},{}>", word("map"), spelled(&map.key, word), spelled(&map.value, word)),
        DataType::Struct(inner) => {
            let fields: Vec<String> =
                inner.fields.iter().map(|f| format!("{}:{}", quoted(&f.name), spelled(&f.data_type, word))).collect();
            format!("{}<{}>", word("struct"), fields.join(","))
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

/// A name as SQL reads it back: quoted with backticks where it must be.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}
