//! Several series as one. Durations are histograms, so that their quantiles can be told over any set of them; levels and rates of several
//! series make no number that means something.

use super::Row;
use crate::model::figure::{Figure, FigureKind};
use crate::store::Store;
use crate::store::figures::read::SeriesQuery;
use crate::web::error::Error;
use crate::web::view::quantiles::{quantile_of, shares_of};

/// All series that fit a query in one, under the labels that were asked for.
pub(super) async fn read(store: &Store, query: &SeriesQuery, quantile: f64) -> Result<Row, Error> {
    let values = match query.figure {
        Figure::SpansErrorRatio => {
            let of = async |figure| store.read_merged(&SeriesQuery { figure, ..query.clone() }).await;
            let (all, failed) = (of(Figure::SpansPerSecond).await?, of(Figure::SpanErrorsPerSecond).await?);
            shares_of(&all, &failed)
        }
        figure if figure.kind() == FigureKind::Durations => quantile_of(&store.read_merged(query).await?, quantile),
        _ => return Err(Error::field("merged", "only durations and spans_error_ratio can be merged.")),
    };
    Ok((query.labels.clone(), values))
}
