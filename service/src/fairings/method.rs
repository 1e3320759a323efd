//! Owns the method of a request: it is the one that was sent. Routes nothing.

use rocket::{Data, Request, form::Form, http::Method};

/// As much of a body as Rocket looks at: its longest methods in `_method`.
const LOOKED_AT: usize = "_method=delete".len();

/// Gives a form the method back with which it was sent. Rocket takes that of a field `_method` at the body's beginning, for
/// pages whose forms know only two; here that would turn a `POST` into a `GET` which nobody sent, in the log too.
///
/// Rocket does so only to a `POST`. What was sent with another method and a form that names just this one looks the same: it
/// counts as a `POST` as well, and is refused.
pub(super) async fn restore(request: &mut Request<'_>, data: &mut Data<'_>) {
    if !request.content_type().is_some_and(|content_type| content_type.is_form()) {
        return;
    }
    // Rocket has waited for these bytes already.
    let form = std::str::from_utf8(data.peek(LOOKED_AT).await).unwrap_or_default();
    let named = Form::values(form).next().filter(|field| field.name == "_method");
    let named: Option<Method> = named.and_then(|field| field.value.parse().ok());
    if named == Some(request.method()) {
        request.set_method(Method::Post);
    }
}
