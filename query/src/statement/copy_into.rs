//! COPY INTO: rows of files, each file once.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::file_format::FileFormat as _;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use floe_storage::Location;
use floe_storage::variant::is_variant_type;
use floe_table::{CommitReport, LoadedFile, SchemaMode, Snapshot, TableError};
use floe_table_format::error::printable;
use floe_table_format::{Rule, StructField, StructType};
use futures::{StreamExt, stream};

use crate::error::{QueryError, Result};
use crate::in_place::register_store;
use crate::load::{BadRecords, LoadOptions, Source, SourceFile, TextFormat, columns_of, names_of, text_rows};
use crate::output::{Done, Outcome};
use crate::pattern::has_glob;
use crate::planning::Planning;
use crate::progress::watch;
use crate::relation::FileFormat;
use crate::session::Session;
use crate::statement::change::{rows, rows_of};
use crate::statement::insert::as_columns;
use crate::types::arrow_type_name;

/// What the files are called while a query over them is planned.
pub(crate) const FILES: &str = "__floe_files__";

/// How often a load is made anew because another one has loaded one of its files.
const ATTEMPTS_MAX: u32 = 50;

/// Which column of the table a column of the files belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fits {
    ByName,
    ByPosition,
    /// By position in this list.
    Columns(Vec<String>),
}

/// `COPY INTO t FROM 'files'`.
#[derive(Debug, Clone)]
pub(crate) struct CopyInto {
    pub(crate) table: ast::ObjectName,
    pub(crate) fits: Fits,
    /// Over [`FILES`]; the files as they are where there is none.
    pub(crate) query: Option<Box<ast::Query>>,
    pub(crate) path: String,
    pub(crate) format: Option<FileFormat>,
    /// Names below the path.
    pub(crate) files: Option<Vec<String>>,
    /// A pattern below the path.
    pub(crate) pattern: Option<String>,
    pub(crate) options: Vec<(String, String)>,
}

pub(super) async fn copy_into(session: &Session, copy: CopyInto) -> Result<Outcome> {
    let options = LoadOptions::read(&copy.options)?;
    for _ in 1..ATTEMPTS_MAX {
        match load(session, &copy, &options).await {
            Err(QueryError::Table(TableError::Conflict { why, .. })) if why.rule == Rule::ConcurrentTransaction => {}
            Err(QueryError::Table(TableError::Conflict { table, operation, why })) => {
                // Identity values that another writer has given out: these rows get the next ones.
                let snapshot = session.table_named(&copy.table).await?.snapshot().await?;
                let again = why.rule == Rule::MetadataChanged && snapshot.schema().any_field(StructField::is_identity);
                if !again {
                    return Err(QueryError::Table(TableError::Conflict { table, operation, why }));
                }
            }
            done => return done,
        }
    }
    load(session, &copy, &options).await
}

/// Which files are loaded, and which are not because they were.
struct Chosen {
    source: Source,
    loaded: usize,
    /// Of those, the ones that are not the same any more.
    changed: usize,
}

impl Chosen {
    async fn of(session: &Session, copy: &CopyInto, options: &LoadOptions, snapshot: &Snapshot) -> Result<Chosen> {
        let mut source = list(session, copy).await?;
        let files = std::mem::take(&mut source.files);
        let all = files.len();
        let mut changed = 0;
        source.files = files
            .into_iter()
            .filter(|file| match snapshot.loaded(&file.uri) {
                Some(_) if options.force => true,
                Some(modified) => {
                    changed += usize::from(modified != file.modified());
                    false
                }
                None => true,
            })
            .collect();
        Ok(Chosen { loaded: all - source.files.len(), changed, source })
    }

    /// What to say of the files that are not loaded.
    fn told(&self) -> String {
        let were = match self.loaded {
            0 => return String::new(),
            1 => "; 1 file was loaded before".to_owned(),
            many => format!("; {many} files were loaded before"),
        };
        match self.changed {
            0 => were,
            1 => format!("{were}, 1 of them has changed since: FORCE loads it again"),
            many => format!("{were}, {many} of them have changed since: FORCE loads them again"),
        }
    }
}

/// The files that the statement names.
async fn list(session: &Session, copy: &CopyInto) -> Result<Source> {
    if copy.files.is_some() && copy.pattern.is_some() {
        return Err(QueryError::syntax("FILES and PATTERN exclude each other"));
    }
    let folder = copy.path.trim_end_matches('/');
    if (copy.files.is_some() || copy.pattern.is_some()) && has_glob(folder) {
        return Err(QueryError::syntax("FILES and PATTERN are below a folder, and the path is a pattern itself"));
    }
    if !has_glob(folder) && session.warehouse().table_at(folder).await?.is_some() {
        return Err(QueryError::unsupported(
            "COPY INTO from a Delta table",
            format!("INSERT INTO {} SELECT * FROM '{}'", copy.table, printable(folder)),
        ));
    }
    let Some(names) = &copy.files else {
        return match &copy.pattern {
            Some(pattern) => Source::list(session, &format!("{folder}/{pattern}"), copy.format).await,
            None => Source::list(session, &copy.path, copy.format).await,
        };
    };
    let mut all: Option<Source> = None;
    for name in names {
        let one = Source::list(session, &format!("{folder}/{name}"), copy.format).await?;
        match &mut all {
            Some(all) if all.format != one.format => {
                return Err(QueryError::invalid_argument("the FILES are of several formats: say FILEFORMAT = CSV"));
            }
            Some(all) => all.files.extend(one.files),
            None => all = Some(one),
        }
    }
    let mut all = all.ok_or_else(|| QueryError::syntax("FILES names no file"))?;
    all.files.sort_by(|a, b| a.object.location.cmp(&b.object.location));
    all.files.dedup_by(|a, b| a.object.location == b.object.location);
    Ok(all)
}

async fn load(session: &Session, copy: &CopyInto, options: &LoadOptions) -> Result<Outcome> {
    let name = &copy.table;
    let table = session.table_named(name).await?;
    let snapshot = table.snapshot().await?;
    let chosen = Chosen::of(session, copy, options, &snapshot).await?;
    let source = &chosen.source;
    let text = options.text_format(source.format)?;
    if source.files.is_empty() {
        let told = chosen.told();
        return Ok(Done::new(format!("nothing to load into {name}{told}")).with_affected_rows(0).into());
    }
    check_folders(copy, &snapshot, source)?;
    let bad = match &options.bad_records {
        Some(folder) => {
            let folder = Location::open(folder, session.warehouse().storage_options())?;
            Some(Arc::new(BadRecords::in_folder(folder, table.env())?))
        }
        None => None,
    };
    let (files, names) = match text {
        Some(format) => text_files(session, copy, options, &snapshot, source, format, bad.clone()).await?,
        None => {
            let files = parquet_files(session, source).await?;
            let names =
                copy.query.is_none().then(|| target_names(copy, &snapshot, &files.schema(), true)).transpose()?;
            (files, names)
        }
    };
    let plan = match &copy.query {
        None => LogicalPlanBuilder::scan(FILES, provider_as_source(files), None)?.build()?,
        Some(query) => {
            let mut statement = ast::Statement::Query(query.clone());
            let planning = Planning::prepare(session, &mut statement, vec![(FILES, files)]).await?;
            planning.plan(statement)?
        }
    };
    let names = match names {
        Some(names) => names,
        None => target_names(copy, &snapshot, plan.schema().inner(), true)?,
    };
    check_lossless(&snapshot, &plan, &names)?;
    let plan = as_columns(&snapshot, plan, &names, &[], options.merge_schema)
        .map_err(|error| with_ways_out(error, copy, &snapshot, source))?;
    let result = write(session, &snapshot, plan, source, options, bad.clone()).await;
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            // Where the commit may stand, its bad records must.
            let unknown = matches!(&error, QueryError::Table(TableError::CommitOutcomeUnknown { .. }));
            if let Some(bad) = bad.filter(|_| !unknown) {
                bad.discard().await;
            }
            return Err(error);
        }
    };
    let mut text = format!(
        "loaded {} of {} into {name} (version {}){}",
        rows(report.rows_added),
        of_files(source.files.len()),
        report.version,
        chosen.told()
    );
    if let Some(bad) = bad.filter(|bad| bad.count() > 0) {
        let records =
            if bad.count() == 1 { "1 bad record is".into() } else { format!("{} bad records are", bad.count()) };
        text.push_str(&format!("; {records} in {}", bad.uri()));
    }
    Ok(Done::new(text).with_affected_rows(report.rows_added).with_version(report.version).into())
}

fn of_files(count: usize) -> String {
    format!("{count} {}", if count == 1 { "file" } else { "files" })
}

/// Reads, writes and commits. The bad records are in their place before the commit.
async fn write(
    session: &Session,
    snapshot: &Arc<Snapshot>,
    plan: LogicalPlan,
    source: &Source,
    options: &LoadOptions,
    bad: Option<Arc<BadRecords>>,
) -> Result<CommitReport> {
    let input = rows_of(DataFrame::new(session.context().state(), plan)).await?;
    let end = stream::once(async move {
        match bad {
            Some(bad) => bad.finish().await.map_err(|error| TableError::Input(Box::new(error))),
            None => Ok(()),
        }
    });
    let end = end.filter_map(|done| futures::future::ready(done.err().map(Err)));
    let files: Vec<LoadedFile> = source.files.iter().map(loaded_file).collect();
    let mode = if options.merge_schema { SchemaMode::Merge } else { SchemaMode::Fixed };
    Ok(Box::pin(snapshot.table().load_files(snapshot, input.chain(end).boxed(), &files, mode)).await?)
}

fn loaded_file(file: &SourceFile) -> LoadedFile {
    LoadedFile { uri: file.uri.clone(), modified: file.modified() }
}

/// The names in the table for columns of the files or of the query.
fn target_names(copy: &CopyInto, snapshot: &Snapshot, given: &Schema, named: bool) -> Result<Vec<String>> {
    let own = snapshot.schema();
    let spelled = |name: &str| own.field(name).map_or(name.to_owned(), |field| field.name.clone());
    let by_position = |names: Vec<String>| match names.len() == given.fields().len() {
        true => Ok(names),
        false => Err(QueryError::invalid_argument(format!(
            "the files have {} columns, and {} are expected ({}): name them, as in COPY INTO {} (a, b) FROM ...",
            given.fields().len(),
            names.len(),
            printable(&names.join(", ")),
            copy.table
        ))),
    };
    let names = match &copy.fits {
        Fits::Columns(columns) => by_position(columns.iter().map(|name| spelled(name)).collect())?,
        Fits::ByName if named => given.fields().iter().map(|field| spelled(field.name())).collect(),
        Fits::ByName | Fits::ByPosition => by_position(own.fields.iter().map(|field| field.name.clone()).collect())?,
    };
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        Some((_, twice)) => {
            Err(QueryError::invalid_argument(format!("two columns of the files are for column {}", printable(twice))))
        }
        None => Ok(names),
    }
}

/// The rows of files of text; with the names of their columns in the table, unless a query comes between.
async fn text_files(
    session: &Session,
    copy: &CopyInto,
    options: &LoadOptions,
    snapshot: &Arc<Snapshot>,
    source: &Source,
    format: TextFormat,
    bad: Option<Arc<BadRecords>>,
) -> Result<(Arc<dyn TableProvider>, Option<Vec<String>>)> {
    let csv = matches!(format, TextFormat::Csv(_));
    if !csv && copy.query.is_none() && copy.fits != Fits::ByName {
        return Err(QueryError::unsupported(
            "loading JSON by position",
            "JSON has names and no order: COPY INTO t FROM (SELECT a AS x, b AS y FROM 'files')",
        ));
    }
    let typed = options.merge_schema || copy.query.is_some();
    let found = match typed {
        true => columns_of(source, &format, options.packing).await?,
        false => names_of(source, &format, options.packing).await?,
    };
    let (schema, names) = if copy.query.is_some() {
        let all_text = csv && !options.infer_schema;
        let text = |field: &Arc<Field>| field.as_ref().clone().with_data_type(DataType::Utf8);
        let schema = if all_text { Schema::new(found.fields().iter().map(text).collect::<Vec<_>>()) } else { found };
        (Arc::new(schema), None)
    } else {
        let own = snapshot.schema();
        let named = !matches!(&format, TextFormat::Csv(csv) if !csv.header);
        // Of JSON, which has no header, a record with another name is a bad one.
        let mut folded = HashSet::new();
        let once = |field: &&Arc<Field>| csv || folded.insert(field.name().to_lowercase());
        let found = Schema::new(found.fields().iter().filter(once).cloned().collect::<Vec<_>>());
        let known = match !csv && bad.is_some() && !options.merge_schema && copy.fits == Fits::ByName {
            true => Schema::new(
                found.fields().iter().filter(|f| own.field(f.name()).is_some()).cloned().collect::<Vec<_>>(),
            ),
            false => found,
        };
        let (schema, names) = as_in_table(copy, snapshot, &known, named, csv, options.merge_schema)
            .map_err(|error| with_ways_out(error, copy, snapshot, source))?;
        (schema, Some(names))
    };
    let meter = watch(session.context().state().config());
    let partitions = session.context().state().config().target_partitions();
    let files = text_rows(source, &format, options.packing, schema, partitions, bad, meter)?;
    Ok((files, names))
}

/// The columns that the files have, with the types that they have in the table, and their names there.
fn as_in_table(
    copy: &CopyInto,
    snapshot: &Arc<Snapshot>,
    found: &Schema,
    named: bool,
    csv: bool,
    grows: bool,
) -> Result<(SchemaRef, Vec<String>)> {
    let own = snapshot.schema();
    let mut names = target_names(copy, snapshot, found, named)?;
    let shown = match grows {
        true => {
            let renamed = found.fields().iter().zip(&names);
            let renamed = renamed.map(|(field, name)| field.as_ref().clone().with_name(name)).collect::<Vec<_>>();
            own.grown_by(&StructType::from_arrow(&Schema::new(renamed))?, false)?
        }
        false => own.clone(),
    };
    let arrow = shown.to_arrow()?;
    let mut fields = Vec::with_capacity(names.len());
    for (field, name) in found.fields().iter().zip(&names) {
        let Ok(column) = arrow.field_with_name(name) else {
            return Err(QueryError::unknown_column(name.clone(), own.fields.iter().map(|f| f.name.clone()).collect()));
        };
        fields.push(column.clone().with_name(field.name()));
    }
    if !csv && copy.fits == Fits::ByName {
        // What no record at the beginning names may come later.
        let computed = |field: &StructField| {
            field.generation_expression().is_some() || field.is_identity() || field.default_expression().is_some()
        };
        for field in own.fields.iter().filter(|field| !computed(field)) {
            let column = arrow.field_with_name(&field.name)?;
            if !names.contains(&field.name) && !is_variant_type(column.data_type()) {
                fields.push(column.clone());
                names.push(field.name.clone());
            }
        }
    }
    for (field, name) in fields.iter().zip(&names) {
        let what = match field.data_type() {
            data_type if is_variant_type(data_type) => format!("the VARIANT column {}", printable(name)),
            data_type if csv && data_type.is_nested() => format!("the nested column {} from CSV", printable(name)),
            _ => continue,
        };
        return Err(QueryError::unsupported(
            format!("loading {what}"),
            "a query that makes its values: COPY INTO t FROM (SELECT parse_json(text) AS v FROM 'files')",
        ));
    }
    Ok((Arc::new(Schema::new(fields)), names))
}

/// What to do about a column of the files that the table does not have.
fn with_ways_out(error: QueryError, copy: &CopyInto, snapshot: &Snapshot, source: &Source) -> QueryError {
    let first = source.files.first().map_or(source.location.uri.as_str(), |file| file.uri.as_str());
    match error {
        QueryError::UnknownColumn { name, nearest, .. } if copy.query.is_none() => {
            let own: Vec<&str> = snapshot.schema().fields.iter().map(|field| field.name.as_str()).collect();
            let nearest = nearest.map(|nearest| format!("did you mean {nearest}? ")).unwrap_or_default();
            let delimiter = match name.contains([';', '|']) || name.contains("\\t") {
                true => "FORMAT_OPTIONS ('delimiter' = ';') says what is between the fields, ",
                false => "",
            };
            QueryError::invalid_argument(format!(
                "{} has a column {name}, and {} has ({}): {nearest}{delimiter}COPY_OPTIONS ('mergeSchema' = 'true') adds it, \
                 FROM (SELECT ... FROM 'files') leaves it out, FORMAT_OPTIONS ('header' = 'false') says that CSV has no header",
                printable(first),
                copy.table,
                printable(&own.join(", "))
            ))
        }
        other => other,
    }
}

/// Refuses files in folders such as `day=2024-01-01`, where the column is one of the table: its values are in no file.
fn check_folders(copy: &CopyInto, snapshot: &Snapshot, source: &Source) -> Result<()> {
    if copy.query.is_some() {
        return Ok(());
    }
    for file in &source.files {
        let Some(below) = source.location.relative(&file.object.location) else { continue };
        let folders = below.rsplit_once('/').map_or("", |(folders, _)| folders);
        let column = folders.split('/').filter_map(|folder| folder.split_once('=')).map(|(name, _)| name);
        if let Some(column) = column.filter_map(|name| snapshot.schema().field(name)).next() {
            return Err(QueryError::unsupported(
                format!(
                    "loading column {} from the names of folders ({})",
                    printable(&column.name),
                    printable(folders)
                ),
                "a query for each folder: COPY INTO t FROM (SELECT *, DATE '2024-01-01' AS day FROM 'files/day=2024-01-01')",
            ));
        }
    }
    Ok(())
}

/// Refuses values that a cast into their columns would round or cut.
fn check_lossless(snapshot: &Snapshot, plan: &LogicalPlan, names: &[String]) -> Result<()> {
    let arrow = snapshot.arrow_schema()?;
    for (field, name) in plan.schema().fields().iter().zip(names) {
        let Ok(column) = arrow.field_with_name(name) else { continue };
        if loses(field.data_type(), column.data_type()) {
            return Err(QueryError::unsupported(
                format!(
                    "loading {} values into column {}, which is {}",
                    arrow_type_name(field.data_type()).to_uppercase(),
                    printable(name),
                    arrow_type_name(column.data_type()).to_uppercase()
                ),
                "COPY INTO t FROM (SELECT CAST(a AS BIGINT) AS a FROM 'files') says that they may be rounded",
            ));
        }
    }
    Ok(())
}

fn loses(from: &DataType, to: &DataType) -> bool {
    let scale = |data_type: &DataType| match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        integer if integer.is_integer() => Some(0),
        _ => None,
    };
    match (scale(from), scale(to)) {
        (Some(from), Some(to)) => from > to,
        (None, Some(_)) => from.is_floating(),
        _ => matches!((from, to), (DataType::Timestamp(..), DataType::Date32)),
    }
}

/// Parquet files, with the columns that any of them has.
async fn parquet_files(session: &Session, source: &Source) -> Result<Arc<dyn TableProvider>> {
    register_store(session, &source.location.uri)?;
    let state = session.context().state();
    let format = Arc::new(ParquetFormat::default().with_options(state.table_options().parquet.clone()));
    let objects: Vec<_> = source.files.iter().map(|file| file.object.clone()).collect();
    let schema = format.infer_schema(&state, &source.location.store, &objects).await.map_err(|error| {
        let error = QueryError::from(error);
        match error {
            QueryError::DataFusion(error) => QueryError::UnreadablePath {
                path: printable(&source.location.uri),
                what: printable(error.strip_backtrace().lines().next().unwrap_or_default()),
            },
            other => other,
        }
    })?;
    let mut folded = HashSet::new();
    if let Some(twice) = schema.fields().iter().find(|field| !folded.insert(field.name().to_lowercase())) {
        return Err(QueryError::invalid_argument(format!(
            "the files spell column {} in several ways: load them apart",
            printable(twice.name())
        )));
    }
    // A column that a file lacks is null in its rows.
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let urls: Vec<ListingTableUrl> =
        source.files.iter().map(|file| Ok(ListingTableUrl::parse(&file.uri)?)).collect::<Result<_>>()?;
    let options = ListingOptions::new(format).with_file_extension(String::new());
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}
