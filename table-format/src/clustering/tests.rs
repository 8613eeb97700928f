use super::*;
use crate::commit::testing::table;
use crate::schema::StructField;

fn schema() -> StructType {
    let column = |name: &str, data_type| StructField::new(name, DataType::Primitive(data_type), true);
    let inner = StructType { fields: vec![column("X", PrimitiveType::Integer)] };
    StructType {
        fields: vec![
            column("id", PrimitiveType::Long),
            column("name", PrimitiveType::String),
            column("yes", PrimitiveType::Boolean),
            StructField::new("s", DataType::Struct(Box::new(inner)), true),
        ],
    }
}

fn check(columns: &[&str], properties: &[(&str, &str)], partitions: &[&str]) -> Result<Vec<Vec<String>>> {
    let own = |text: &&str| (*text).to_owned();
    let properties = properties.iter().map(|(k, v)| (own(k), own(v))).collect();
    let columns: Vec<Vec<String>> = columns.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
    let partitions: Vec<String> = partitions.iter().map(own).collect();
    check_clustering(&schema(), &partitions, &TableProperties::parse(&properties)?, &columns)
}

#[test]
fn columns_are_spelled_as_in_the_schema() {
    let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(check(&["ID", "s.x"], &[], &[]), Ok(vec![path(&["id"]), path(&["s", "X"])]));
    assert_eq!(check(&[], &[], &["id"]), Ok(Vec::new()));
}

#[test]
fn a_table_is_clustered_by_what_files_can_be_skipped_by() {
    for (columns, properties, partitions, part) in [
        (&["idd"][..], &[][..], &[][..], "id"),
        (&["id", "id"], &[], &[], "twice"),
        (&["yes"], &[], &[], "least and greatest"),
        (&["s"], &[], &[], "simple type"),
        (&["name"], &[], &["id"], "partitioned"),
        (&["name"], &[("delta.dataSkippingNumIndexedCols", "1")], &[], "no statistics"),
        (&["id", "s.x"], &[("delta.dataSkippingStatsColumns", "id,name")], &[], "no statistics"),
        (&["id", "name", "s.x", "id", "name"], &[], &[], "at most 4"),
    ] {
        let error = check(columns, properties, partitions).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(check(&["s.x"], &[("delta.dataSkippingStatsColumns", "s")], &[]).is_ok());
}

#[test]
fn the_domain_is_read_back_and_one_that_does_not_decode_is_an_error() {
    let mut state = table(&[], &[], &[]);
    assert_eq!(physical_clustering_columns(&state), Ok(None));
    let columns = vec![vec!["a".to_owned(), "b".to_owned()]];
    let mut set = |domain: DomainMetadata| {
        state.domains = std::sync::Arc::new([(domain.domain.clone(), domain)].into());
        physical_clustering_columns(&state)
    };
    assert_eq!(set(clustering_domain(columns.clone())), Ok(Some(columns)));
    // Written by Spark, which names the domain once more.
    let spark = r#"{"clusteringColumns":[["col-1"],["s","x"]],"domainName":"delta.clustering"}"#;
    let read = set(DomainMetadata { configuration: spark.into(), ..clustering_domain(Vec::new()) });
    assert_eq!(read.map(|columns| columns.map_or(0, |columns| columns.len())), Ok(2));
    for bad in ["", "[]", "{}", r#"{"clusteringColumns":["a"]}"#] {
        let read = set(DomainMetadata { configuration: bad.into(), ..clustering_domain(Vec::new()) });
        assert!(matches!(read, Err(FormatError::InvalidValue { .. })), "{bad}");
    }
}
