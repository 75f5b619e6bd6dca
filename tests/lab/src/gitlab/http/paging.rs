//! Pagination of lists: by page number, with or without totals, and by keyset.

use axum::http::{HeaderName, header};
use serde_json::Value;

use super::{answer::Answer, query::Query};

const MAX_SIZE: usize = 100;
const DEFAULT_SIZE: usize = 20;
/// Above this number of rows, the totals and the link to the last page are omitted.
const COUNT_LIMIT: usize = 10_000;

/// Whether a list has totals.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    Included,
    Omitted,
}

/// Cuts `rows` to the requested page. `url` is the address of the list, without parameters.
pub fn page<T>(
    rows: &[T],
    query: &Query,
    url: &str,
    totals: Totals,
    show: impl Fn(&T) -> Value,
) -> Result<Answer, Answer> {
    if query.get("pagination") == Some("keyset") {
        let text = "Keyset pagination is not yet available for this type of request";
        return Err(Answer::error(405, text));
    }
    let number = query.parsed::<usize>("page")?.unwrap_or(1).max(1);
    let size = size(query)?;
    let pages = rows.len().div_ceil(size).max(1);
    let from = (number - 1).saturating_mul(size).min(rows.len());
    let to = rows.len().min(from + size);
    let next = (to < rows.len()).then_some(number + 1);
    let previous = (number > 1).then(|| number - 1);
    let has_totals = totals == Totals::Included && rows.len() <= COUNT_LIMIT;

    let link = |number: usize, rel: &str| {
        let parameters = [("page", number.to_string()), ("per_page", size.to_string())];
        format!("<{url}?{}>; rel=\"{rel}\"", query.replaced(&parameters))
    };
    let mut links: Vec<String> = Vec::new();
    links.extend(previous.map(|number| link(number, "prev")));
    links.extend(next.map(|number| link(number, "next")));
    links.push(link(1, "first"));
    links.extend(has_totals.then(|| link(pages, "last")));

    let or_empty = |number: Option<usize>| number.map_or_else(String::new, |n| n.to_string());
    let shown = Value::Array(rows[from..to].iter().map(show).collect());
    let mut answer = Answer::json(shown)
        .with(header::LINK, links.join(", "))
        .with(HeaderName::from_static("x-page"), number.to_string())
        .with(HeaderName::from_static("x-per-page"), size.to_string())
        .with(HeaderName::from_static("x-next-page"), or_empty(next))
        .with(HeaderName::from_static("x-prev-page"), or_empty(previous));
    if has_totals {
        answer = answer
            .with(HeaderName::from_static("x-total"), rows.len().to_string())
            .with(HeaderName::from_static("x-total-pages"), pages.to_string());
    }
    Ok(answer)
}

/// The rows after the one whose id is `cursor`; only the link leads to the next page.
pub fn keyset<T>(
    rows: &[T],
    query: &Query,
    url: &str,
    id: impl Fn(&T) -> u64,
    show: impl Fn(&T) -> Value,
) -> Result<Answer, Answer> {
    let size = size(query)?;
    let cursor: Option<u64> = query.parsed("cursor")?;
    let from = match cursor {
        None => 0,
        Some(last) => rows
            .iter()
            .position(|row| id(row) == last)
            .map_or(rows.len(), |at| at + 1),
    };
    let to = rows.len().min(from + size);
    let answer = Answer::json(Value::Array(rows[from..to].iter().map(show).collect()));
    let last = rows[from..to].last().filter(|_| to < rows.len());
    Ok(match last {
        None => answer,
        Some(last) => {
            let next = query.replaced(&[("cursor", id(last).to_string())]);
            answer.with(header::LINK, format!("<{url}?{next}>; rel=\"next\""))
        }
    })
}

fn size(query: &Query) -> Result<usize, Answer> {
    match query.parsed::<usize>("per_page")? {
        None => Ok(DEFAULT_SIZE),
        Some(0) => Err(Answer::error(400, "per_page has a value not allowed")),
        Some(size) => Ok(size.min(MAX_SIZE)),
    }
}
