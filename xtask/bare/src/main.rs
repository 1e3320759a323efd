//! A bare Rocket: a greeting, and a greeting with one Redis command, as anybody would write them.

use redis::AsyncCommands as _;
use rocket::{State, get, launch, routes};

#[get("/")]
fn hello() -> &'static str {
    "Hello, world!"
}

#[get("/visits")]
async fn visits(redis: &State<redis::aio::ConnectionManager>) -> Result<String, String> {
    let visits: u64 = redis.inner().clone().incr("bare:visits", 1).await.map_err(|error| error.to_string())?;
    Ok(visits.to_string())
}

#[launch]
async fn rocket() -> _ {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let client = redis::Client::open(url).expect("an address");
    let manager = client.get_connection_manager().await.expect("a connection");
    rocket::build().manage(manager).mount("/", routes![hello, visits])
}
