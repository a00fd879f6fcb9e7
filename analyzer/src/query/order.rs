//! The same rows in the same order on every run.
//!
//! SQL leaves open in which order rows come where none is asked for, and the engine then takes them as its hash tables and
//! threads have them. Asked to keep the order of its input at every step, it gives the same bytes each time.

use std::sync::Arc;

use polars::prelude::{DslPlan, MaintainOrderJoin, UniqueKeepStrategy};

/// The same plan, each step of which keeps the order of its input.
pub(super) fn ordered(plan: DslPlan) -> DslPlan {
    let mut plan = plan;
    keep(&mut plan);
    plan
}

fn keep(plan: &mut DslPlan) {
    // What was planned ahead was planned without the order.
    while let DslPlan::IR { dsl, .. } = plan {
        *plan = dsl.as_ref().clone();
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other step is a source of rows, or has no SQL"
    )]
    match plan {
        DslPlan::GroupBy {
            input, maintain_order, ..
        } => {
            *maintain_order = true;
            keep(Arc::make_mut(input));
        }
        DslPlan::Distinct { input, options } => {
            options.maintain_order = true;
            if options.keep_strategy == UniqueKeepStrategy::Any {
                options.keep_strategy = UniqueKeepStrategy::First;
            }
            keep(Arc::make_mut(input));
        }
        DslPlan::Sort {
            input, sort_options, ..
        } => {
            sort_options.maintain_order = true;
            keep(Arc::make_mut(input));
        }
        DslPlan::Join {
            input_left,
            input_right,
            options,
            ..
        } => {
            let order = &mut Arc::make_mut(options).args.maintain_order;
            if *order == MaintainOrderJoin::None {
                *order = MaintainOrderJoin::LeftRight;
            }
            keep(Arc::make_mut(input_left));
            keep(Arc::make_mut(input_right));
        }
        DslPlan::Filter { input, .. }
        | DslPlan::Cache { input, .. }
        | DslPlan::Select { input, .. }
        | DslPlan::HStack { input, .. }
        | DslPlan::Slice { input, .. }
        | DslPlan::MapFunction { input, .. } => keep(Arc::make_mut(input)),
        DslPlan::Gather { input, idxs, .. } => {
            keep(Arc::make_mut(input));
            keep(Arc::make_mut(idxs));
        }
        DslPlan::ExtContext { input, contexts } => {
            keep(Arc::make_mut(input));
            contexts.iter_mut().for_each(keep);
        }
        DslPlan::Union { inputs, args } => {
            args.maintain_order = true;
            inputs.iter_mut().for_each(keep);
        }
        DslPlan::HConcat { inputs, .. } => inputs.iter_mut().for_each(keep),
        _ => {}
    }
}
