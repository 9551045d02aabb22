//! The HTTP edge: the same rpcs as gRPC in JSON, the OpenAPI document, the page, and liveness. It turns requests into
//! messages and answers into JSON; what they mean is behind `wire::calls`.
//!
//! | file | what it does |
//! |---|---|
//! | `operations` | the table: path ↔ rpc |
//! | `routes` | the router over it |
//! | `binding` | body, path and query → message |
//! | `json` | message ↔ JSON, by descriptor |
//! | `problem` | refusals as RFC 9457 |
//! | `host` | Host and Origin checks, security headers |
//! | `openapi`, `schema`, `examples` | /openapi.json |
//! | `page`, `page_…`, `figures` | the page at /, its tables and its numbers |

mod binding;
mod examples;
mod figures;
mod host;
pub mod json;
mod openapi;
mod operations;
mod page;
mod page_budgets;
mod page_change;
mod page_goals;
mod page_savings;
mod page_tasks;
pub mod problem;
mod routes;
mod schema;

pub use routes::{is_probe, router};
