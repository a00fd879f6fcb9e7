//! The engine: polars, to which tables go column by column, and from which the answer comes the same way.
//!
//! It has its own copy of Arrow, so nothing is shared with what reads tapes. It is built without anything that reads or
//! writes files: a query sees the tables given to it and nothing else.

use std::thread;

use flowtape_schemas::time::Time;
use polars::prelude::{
    Column as Series, DataFrame, DataType, Int64Chunked, IntoColumn as _, IntoLazy as _, IntoSeries as _, LazyFrame,
    NamedFrom as _, NewChunkedArray as _, PlSmallStr, PolarsError, PolarsResult, Series as Values, TimeUnit,
};
use polars::sql::{SQLContext, extract_table_identifiers};

use super::QueryError;
use super::order::ordered;
use crate::frame::{Cells, Column, Frame};

/// The longest query: pages of SQL. What is longer was not written by anybody.
const SQL_BYTES: usize = 4 << 10;

/// The most operators: each can be a level that the engine descends, on threads of its own whose stacks are small.
const OPERATORS: usize = 64;

/// Words that are operators.
const WORDS: [&str; 17] = [
    "and",
    "at",
    "between",
    "collate",
    "div",
    "except",
    "ilike",
    "in",
    "intersect",
    "is",
    "join",
    "like",
    "not",
    "or",
    "regexp",
    "rlike",
    "union",
];

/// Many times what the deepest such query takes in a build without optimization. It is not touched until it is needed.
const STACK_BYTES: usize = 512 << 20;

/// What a statement that only reads begins with.
const READING: [&str; 7] = ["select", "with", "from", "values", "show", "describe", "explain"];

/// The tables that a query names, and names it gives itself. A statement that would change a table is refused: it could
/// change nothing but the copy in memory.
pub fn tables_of(sql: &str) -> Result<Vec<String>, QueryError> {
    if sql.len() > SQL_BYTES {
        let (length, most) = (sql.len(), SQL_BYTES);
        return Err(QueryError::Sql(format!(
            "the query has {length} bytes, and {most} is the most"
        )));
    }
    let operators = operators(sql);
    if operators > OPERATORS {
        let text = format!("the query has {operators} operators, and {OPERATORS} is the most");
        return Err(QueryError::Sql(text));
    }
    let first = first_word(sql);
    if !READING.contains(&first.as_str()) {
        let what = if first.is_empty() {
            "nothing".to_owned()
        } else {
            format!("`{first}`")
        };
        return Err(QueryError::Sql(format!("expected a SELECT, found {what}")));
    }
    guarded(|| extract_table_identifiers(sql, false, true))
}

/// How many operators stand outside of texts and quoted names.
fn operators(sql: &str) -> usize {
    let mut quote = None;
    let outside = |c: char| {
        if let Some(open) = quote {
            quote = quote.filter(|_| c != open);
            return ' ';
        }
        quote = matches!(c, '\'' | '"' | '`').then_some(c);
        c
    };
    let plain: String = sql.chars().map(outside).collect();
    let symbols = plain
        .split(|c: char| !"+-*/%|&^<>=~:#@?!".contains(c))
        .filter(|part| !part.is_empty());
    let words = plain.split(|c: char| !c.is_alphanumeric() && c != '_');
    symbols.count()
        + words
            .filter(|word| WORDS.contains(&word.to_lowercase().as_str()))
            .count()
}

/// The first word in lower case, behind blanks, comments and parentheses.
fn first_word(sql: &str) -> String {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        let behind = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n')
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")
        } else {
            break;
        };
        rest = behind.map_or("", |(_, behind)| behind);
    }
    let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    word.to_lowercase()
}

/// The answer to a query over these tables. The same tables and query give the same rows in the same order.
pub fn answer(sql: &str, tables: Vec<(&str, Frame)>) -> Result<Frame, QueryError> {
    let result = guarded(|| {
        let mut context = SQLContext::new();
        for (name, frame) in tables {
            context.register(name, data_frame(frame)?.lazy());
        }
        let plan = context.execute(sql)?.logical_plan;
        LazyFrame::from(ordered(plan)).collect()
    })?;
    let columns = result.columns().iter().map(column).collect::<Result<_, _>>()?;
    Ok(Frame { columns })
}

/// What the engine gives, or why not. It has panicked over queries before, and it descends into a query as deep as that
/// goes: so it has a thread of its own, whose stack the longest query does not fill.
fn guarded<T: Send>(work: impl FnOnce() -> PolarsResult<T> + Send) -> Result<T, QueryError> {
    let result = thread::scope(|scope| {
        let started = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        started.ok().and_then(|running| running.join().ok())
    });
    result.ok_or(QueryError::Engine)?.map_err(|error| refused(&error))
}

/// The first line: what follows it in some errors is the engine's own plan of the query.
fn refused(error: &PolarsError) -> QueryError {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim();
    QueryError::Sql(first.trim_end_matches("; found:").to_owned())
}

fn data_frame(frame: Frame) -> PolarsResult<DataFrame> {
    let height = frame.height();
    DataFrame::new(height, frame.columns.into_iter().map(series).collect())
}

fn series(column: Column) -> Series {
    let name = PlSmallStr::from(column.name);
    let values = match column.cells {
        Cells::Text(cells) => Values::new(name, cells),
        Cells::Integer(cells) => Values::new(name, cells),
        Cells::Number(cells) => Values::new(name, cells),
        Cells::Boolean(cells) => Values::new(name, cells),
        Cells::Time(cells) => {
            let nanos = cells.into_iter().map(|cell| cell.map(|time| time.0));
            let instants = Int64Chunked::from_iter_options(name, nanos);
            // Without a time zone, as literals of SQL are; all are UTC.
            instants.into_datetime(TimeUnit::Nanoseconds, None).into_series()
        }
    };
    values.into_column()
}

/// A column of an answer. Differences of times are whole nanoseconds.
fn column(series: &Series) -> Result<Column, QueryError> {
    let cells = guarded(|| cells(series))?.ok_or_else(|| {
        let (name, kind) = (series.name(), series.dtype());
        QueryError::Sql(format!(
            "column `{name}` is of type {kind}, which no table can show; `CAST` it"
        ))
    })?;
    Ok(Column {
        name: series.name().to_string(),
        doc: String::new(),
        cells,
    })
}

/// The cells of a column; `None` if they are of a type that no table here has.
fn cells(series: &Series) -> PolarsResult<Option<Cells>> {
    let to = |kind: DataType| series.strict_cast(&kind);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the engine has many types; what has no place here is refused"
    )]
    let cells = match series.dtype() {
        DataType::Null => Cells::Text(vec![None; series.len()]),
        DataType::String => Cells::Text(series.str()?.iter().map(|cell| cell.map(str::to_owned)).collect()),
        DataType::Boolean => Cells::Boolean(series.bool()?.iter().collect()),
        DataType::Datetime(..) => {
            let instants = to(DataType::Datetime(TimeUnit::Nanoseconds, None))?;
            let nanos = instants.strict_cast(&DataType::Int64)?;
            Cells::Time(nanos.i64()?.iter().map(|cell| cell.map(Time)).collect())
        }
        DataType::Duration(_) => {
            let nanos = to(DataType::Duration(TimeUnit::Nanoseconds))?.strict_cast(&DataType::Int64)?;
            Cells::Integer(nanos.i64()?.iter().collect())
        }
        DataType::Date => Cells::Text(texts(&to(DataType::String)?)?),
        kind if kind.is_integer() => Cells::Integer(to(DataType::Int64)?.i64()?.iter().collect()),
        kind if kind.is_float() || kind.is_decimal() => Cells::Number(to(DataType::Float64)?.f64()?.iter().collect()),
        _ => return Ok(None),
    };
    Ok(Some(cells))
}

fn texts(series: &Series) -> PolarsResult<Vec<Option<String>>> {
    Ok(series.str()?.iter().map(|cell| cell.map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::{first_word, operators};

    #[test]
    fn operators_are_counted_outside_of_texts() {
        for (sql, count) in [
            ("SELECT 1", 0),
            ("SELECT a + b FROM t WHERE a <= 1 AND NOT b LIKE 'x-y=z'", 5),
            ("SELECT \"a-b\", island FROM t", 0),
            ("SELECT a||b UNION SELECT c", 2),
        ] {
            assert_eq!(operators(sql), count, "{sql}");
        }
    }

    #[test]
    fn the_first_word_stands_behind_comments() {
        for (sql, word) in [
            ("SELECT 1", "select"),
            ("\n -- a question\n /* of\n two */ ((Select 1))", "select"),
            ("drop table edges", "drop"),
            ("-- nothing", ""),
            ("/* nothing", ""),
            ("", ""),
            ("'x'", ""),
        ] {
            assert_eq!(first_word(sql), word, "{sql}");
        }
    }
}
