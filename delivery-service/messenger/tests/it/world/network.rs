//! The network between messengers and server, with its faults.

use std::sync::{Arc, Mutex};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use regrow_delivery_service::api::{self, DeliveryPage, DeviceListPage};
use serde::{Serialize, de::DeserializeOwned};

/// A change of each page of deliveries on its way.
type PageChange = Box<dyn Fn(&mut DeliveryPage) + Send + Sync>;
/// A change of each page of a device list on its way.
type ListPageChange = Box<dyn Fn(&mut DeviceListPage) + Send + Sync>;

/// The faults of the network, and of the service at its other end. Paths are given by their ends.
#[derive(Default)]
pub(super) struct NetworkFaults {
    /// All connections break.
    pub(super) down: bool,
    /// The next request to each of these paths is carried out, and its response is lost.
    pub(super) lost_replies: Vec<String>,
    /// All `POST` requests to these paths are lost.
    pub(super) lost_posts: Vec<String>,
    /// Methods and paths whose requests are refused with a problem.
    pub(super) refused: Vec<(&'static str, String, api::Problem)>,
    /// Paths whose next response carries a receipt that the service has not signed.
    pub(super) forged: Vec<String>,
    pub(super) change: Option<PageChange>,
    pub(super) list_change: Option<ListPageChange>,
    /// The paths of all requests so far.
    pub(super) asked: Vec<String>,
}

/// Carries a request to the server, with the faults of the network.
pub(super) async fn pass(faults: Arc<Mutex<NetworkFaults>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method_is_get = request.method() == "GET";
    let (down, refused, lost, forged) = {
        let mut faults = faults.lock().unwrap();
        faults.asked.push(path.clone());
        let method = request.method().as_str();
        let refused = faults.refused.iter().find(|(of, refused, _)| *of == method && path.ends_with(refused.as_str()));
        let refused = refused.map(|(_, _, problem)| problem.clone());
        let is_lost = method == "POST" && faults.lost_posts.iter().any(|lost| path.ends_with(lost.as_str()));
        let lost = faults.lost_replies.iter().position(|lost| path.ends_with(lost.as_str()));
        let lost = lost.map(|at| faults.lost_replies.remove(at)).is_some();
        let forged = faults.forged.iter().position(|forged| path.ends_with(forged.as_str()));
        (faults.down || is_lost, refused, lost, forged.map(|at| faults.forged.remove(at)).is_some())
    };
    if down {
        return cut_off();
    }
    if let Some(problem) = refused {
        let mut body = Vec::new();
        ciborium::into_writer(&problem, &mut body).unwrap();
        return axum::http::Response::builder().status(problem.status).body(Body::from(body)).unwrap();
    }
    let response = next.run(request).await;
    if lost {
        return cut_off();
    }
    if forged {
        return changed(response, |accepted: &mut api::Accepted| accepted.receipt.signature.0[0] ^= 1).await;
    }
    if method_is_get && path.ends_with("/device-list") && faults.lock().unwrap().list_change.is_some() {
        return changed(response, |page: &mut DeviceListPage| {
            if let Some(change) = &faults.lock().unwrap().list_change {
                change(page);
            }
        })
        .await;
    }
    if !path.ends_with("/deliveries") || faults.lock().unwrap().change.is_none() {
        return response;
    }
    changed(response, |page: &mut DeliveryPage| {
        if let Some(change) = &faults.lock().unwrap().change {
            change(page);
        }
    })
    .await
}

/// Decodes the body, changes it, and encodes it again.
async fn changed<T: Serialize + DeserializeOwned>(response: Response, change: impl FnOnce(&mut T)) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let mut value: T = ciborium::from_reader(&bytes[..]).unwrap();
    change(&mut value);
    let mut changed = Vec::new();
    ciborium::into_writer(&value, &mut changed).unwrap();
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(changed))
}

/// Breaks the connection in the middle of the response.
fn cut_off() -> Response {
    let nothing = std::io::Error::other("the network is gone");
    Body::from_stream(futures_util::stream::once(async { Err::<Vec<u8>, _>(nothing) })).into_response()
}
