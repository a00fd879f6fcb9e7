//! Metadata tables: what a watch on the API server would have seen.

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::metadata::{ClusterRows, EachRows, Snapshot, rows};
use flowtape_schemas::parquet::FileError;
use flowtape_schemas::table::Row;
use flowtape_schemas::time::Time;

use super::{CompileError, Writer, time};
use crate::kubernetes::{changes, list_at};
use crate::layout::Layout;
use crate::model::{Metadata, Offset, Scenario};

pub(super) fn write(writer: &mut Writer, scenario: &Scenario, layout: &Layout) -> Result<(), CompileError> {
    Ok(cluster_rows(scenario, layout)?.each(writer)?)
}

impl EachRows for Writer {
    type Error = FileError;

    fn rows<R: Row>(&mut self, rows: &[R]) -> Result<(), FileError> {
        self.add(None, rows)
    }
}

fn cluster_rows(scenario: &Scenario, layout: &Layout) -> Result<ClusterRows, CompileError> {
    let Metadata {
        line: _,
        snapshots: looks,
        late,
    } = &scenario.metadata;
    let mut snapshots = Vec::new();
    let instants = if looks.is_empty() {
        changes(scenario, layout)
    } else {
        looks.clone()
    };
    for at in instants {
        let text = list_at(scenario, layout, at).to_string();
        snapshots.push(Snapshot::parse(text.as_bytes(), Some(time(at, Offset(0))))?);
    }
    let mut all = rows(snapshots)?;
    if !looks.is_empty() {
        return Ok(all);
    }
    // Snapshots were taken at every change, so their times are as good as a watch's.
    macro_rules! observed {
        ($($table:ident),*) => {$(
            for row in &mut all.$table {
                (row.valid_from, row.from_bound) = seen(row.valid_from, row.from_bound, *late);
                (row.valid_to, row.to_bound) = seen(row.valid_to, row.to_bound, *late);
            }
        )*};
    }
    observed!(
        pods,
        containers,
        services,
        endpoint_slices,
        namespaces,
        nodes,
        workloads,
        network_policies
    );
    Ok(all)
}

/// A time that nothing declares was seen, so much too late.
fn seen(at: Option<Time>, bound: Bound, late: Offset) -> (Option<Time>, Bound) {
    match (at, bound) {
        (Some(at), Bound::Assumed) => (Some(at.saturating_add(late.0)), Bound::Observed),
        (at, bound) => (at, bound),
    }
}
