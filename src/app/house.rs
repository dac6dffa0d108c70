//! The rooms, built from one configuration, and rebuilt from another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderName;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Error;
use super::metrics::Metrics as HouseMetrics;
use super::workers::Crew;
use crate::admin::{Actions, Admin};
use crate::config::{self, Config, GrantName};
use crate::drain::Tasks;
use crate::grant::{self, Cache, Grant, Keeper, Parts};
use crate::issuer::Issuer;
use crate::listen::{self, Bound, Limits};
use crate::proxy::{self, RequestLog, Route};
use crate::ready::Ready;
use crate::store::{self, Holder, Store};
use crate::upstream;

/// How long a reload waits for the keepers of removed grants; signals wait as long.
const FAREWELL: Duration = Duration::from_secs(3);

/// The rooms that live as long as the process, and the configuration they were built from.
pub(super) struct House {
    config: Config,
    registry: Registry,
    ready: Ready,
    cache: Cache,
    metrics: Metrics,
    grants: BTreeMap<GrantName, Kept>,
    /// Grants that are no longer configured, until their keepers have ended.
    leaving: Vec<Grant>,
    /// What the admin side shows: the same grants, shared with it.
    shown: Arc<Mutex<Vec<Grant>>>,
    routes: watch::Sender<Arc<Vec<Arc<Route>>>>,
}

/// A grant that is kept, and where.
#[derive(Clone)]
struct Kept {
    grant: Grant,
    store: Arc<dyn Store>,
    section: config::Store,
    /// Each keeper has a name of its own: one that is retired may still be at work when its
    /// namesake begins.
    holder: Holder,
}

/// Every room's metrics.
struct Metrics {
    house: HouseMetrics,
    listen: Arc<listen::Metrics>,
    proxy: proxy::Metrics,
    upstream: upstream::Metrics,
    grant: grant::Metrics,
    store: store::Metrics,
}

impl Metrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            house: HouseMetrics::register(registry)?,
            listen: Arc::new(listen::Metrics::register(registry)?),
            proxy: proxy::Metrics::register(registry)?,
            upstream: upstream::Metrics::register(registry)?,
            grant: grant::Metrics::register(registry)?,
            store: store::Metrics::register(registry)?,
        })
    }
}

/// What a configuration asks for, opened but not yet in force.
struct Plan {
    /// Grants that begin, with their keepers.
    begin: Vec<Keeper>,
    /// Grants that go on with other parts.
    change: Vec<(Grant, Parts)>,
    grants: BTreeMap<GrantName, Kept>,
    routes: Vec<Arc<Route>>,
}

impl House {
    /// Opens every store and takes up every grant; the keepers begin at once.
    pub(super) async fn build(config: Config, control: &Tasks) -> Result<Self, Error> {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry)
            .map_err(|error| Error::because("metrics cannot be registered", error))?;
        let (routes, _) = watch::channel(Arc::default());
        let mut house = Self {
            config: config.clone(),
            registry,
            ready: Ready::default(),
            cache: Cache::default(),
            metrics,
            grants: BTreeMap::new(),
            leaving: Vec::new(),
            shown: Arc::default(),
            routes,
        };
        let plan = house.plan(&config).await?;
        house.take(config, plan, control);
        Ok(house)
    }

    /// Takes another configuration, wholly or not at all: everything is opened before anything
    /// is changed.
    pub(super) async fn reload(&mut self, config: Config, control: &Tasks) -> Result<(), Error> {
        self.refuse_fixed(&config)?;
        self.see_off(&config).await;
        let plan = self.plan(&config).await?;
        self.take(config, plan, control);
        Ok(())
    }

    pub(super) fn reloaded(&self) {
        self.metrics.house.reloaded();
    }

    pub(super) fn reload_refused(&self) {
        self.metrics.house.refused();
    }

    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Serves health, metrics and status on the control thread.
    pub(super) fn open_admin(&self, door: Bound, tasks: &Tasks) {
        let shown = Arc::clone(&self.shown);
        let grants = move || shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let actions = if self.config.admin.actions {
            Actions::Allow
        } else {
            Actions::Refuse
        };
        let (registry, ready) = (self.registry.clone(), self.ready.clone());
        let admin = Admin::new(registry, ready, Arc::new(grants), actions);
        let limits = Limits::from(&config::Proxy::default());
        let own = tasks.clone();
        let metrics = Arc::clone(&self.metrics.listen);
        tasks.spawn("admin", async move {
            if let Err(error) = listen::serve(door, admin, limits, own, metrics).await {
                tracing::error!(%error, "the admin side cannot listen");
            }
        });
    }

    /// Starts the threads that carry traffic.
    pub(super) fn open_workers(&self, bound: &Bound, data: &Tasks) -> Result<(), Error> {
        let section = &self.config.proxy;
        let crew = Crew {
            routes: self.routes.subscribe(),
            limits: Limits::from(section),
            listen_metrics: Arc::clone(&self.metrics.listen),
            proxy_metrics: self.metrics.proxy.clone(),
            log: if self.config.log.requests {
                RequestLog::Write
            } else {
                RequestLog::Skip
            },
        };
        crew.start(bound, section, data)
    }

    /// Sections that are bound to the process for its life.
    fn refuse_fixed(&self, config: &Config) -> Result<(), Error> {
        let fixed = [
            ("proxy", self.config.proxy != config.proxy),
            ("admin", self.config.admin != config.admin),
            ("log", self.config.log != config.log),
            ("reload", self.config.reload != config.reload),
        ];
        match fixed.iter().find(|(_, changed)| *changed) {
            Some((section, _)) => Err(Error::new(format!(
                "`[{section}]` has changed, which takes a restart"
            ))),
            None => Ok(()),
        }
    }

    /// Waits a moment for keepers that were retired, where a grant begins: it may be a namesake
    /// or want the same store, which is held until the last refresh has ended and is saved.
    async fn see_off(&mut self, config: &Config) {
        let mut names = config.grant.keys();
        if names.any(|name| !self.grants.contains_key(name)) {
            // Whoever takes longer keeps the store's lock, and opening it says so.
            let _ = timeout(FAREWELL, all_ended(&self.leaving)).await;
        }
        self.leaving.retain(|grant| !grant.has_ended());
    }

    async fn plan(&self, config: &Config) -> Result<Plan, Error> {
        let mut plan = Plan {
            begin: Vec::new(),
            change: Vec::new(),
            grants: BTreeMap::new(),
            routes: Vec::new(),
        };
        for (name, section) in &config.grant {
            let kept = match self.grants.get(name) {
                Some(kept) => change_grant(name, section, kept, &mut plan)?,
                None => self.begin_grant(name, section, &mut plan).await?,
            };
            plan.grants.insert(name.clone(), kept);
        }
        for section in &config.route {
            plan.routes
                .push(Arc::new(self.route(section, config, &plan.grants)?));
        }
        Ok(plan)
    }

    async fn begin_grant(
        &self,
        name: &GrantName,
        section: &config::Grant,
        plan: &mut Plan,
    ) -> Result<Kept, Error> {
        let fail =
            |error| Error::because(format!("the store of grant `{name}` cannot be used"), error);
        let store = store::open(&section.store, name, &self.metrics.store)
            .await
            .map_err(fail)?;
        let holder = Holder::generate().map_err(fail)?;
        let parts = parts(name, section, (Arc::clone(&store), &holder))?;
        let (cache, metrics) = (self.cache.clone(), &self.metrics.grant);
        let opened = Keeper::open(name.clone(), parts, cache, metrics, &self.ready).await;
        let (keeper, grant) = opened.map_err(fail)?;
        plan.begin.push(keeper);
        Ok(Kept {
            grant,
            store,
            section: section.store.clone(),
            holder,
        })
    }

    fn route(
        &self,
        section: &config::Route,
        config: &Config,
        grants: &BTreeMap<GrantName, Kept>,
    ) -> Result<Route, Error> {
        let unknown = || Error::new(format!("no grant is named `{}`", section.grant));
        let kept = grants.get(&section.grant).ok_or_else(unknown)?;
        let inject = config.grant.get(&section.grant).map(|grant| &grant.inject);
        let credential = inject.and_then(|inject| inject.header.parse::<HeaderName>().ok());
        Route::new(
            section.clone(),
            kept.grant.clone(),
            credential.unwrap_or(http::header::AUTHORIZATION),
            &self.metrics.proxy,
            &self.metrics.upstream,
        )
        .map_err(|error| Error::because("a route cannot be used", error))
    }

    /// Puts a plan in force. Nothing can fail from here on.
    fn take(&mut self, config: Config, plan: Plan, control: &Tasks) {
        for keeper in plan.begin {
            control.spawn("keeper", keeper.run(control.clone()));
        }
        for (grant, parts) in plan.change {
            grant.reconfigure(parts);
        }
        for (name, kept) in std::mem::replace(&mut self.grants, plan.grants) {
            if !self.grants.contains_key(&name) {
                kept.grant.retire();
                self.leaving.push(kept.grant);
            }
        }
        let grants = self
            .grants
            .values()
            .map(|kept| kept.grant.clone())
            .collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = grants;
        self.routes.send_replace(Arc::new(plan.routes));
        self.config = config;
    }
}

async fn all_ended(grants: &[Grant]) {
    for grant in grants {
        grant.ended().await;
    }
}

/// A grant that goes on, with other parts.
fn change_grant(
    name: &GrantName,
    section: &config::Grant,
    kept: &Kept,
    plan: &mut Plan,
) -> Result<Kept, Error> {
    if section.store != kept.section {
        return Err(Error::new(format!(
            "`[grant.{name}.store]` has changed, which takes a restart"
        )));
    }
    let parts = parts(name, section, (Arc::clone(&kept.store), &kept.holder))?;
    plan.change.push((kept.grant.clone(), parts));
    Ok(kept.clone())
}

fn parts(
    name: &GrantName,
    section: &config::Grant,
    (store, holder): (Arc<dyn Store>, &Holder),
) -> Result<Parts, Error> {
    let issuer = Issuer::new(section).map_err(|error| {
        Error::because(
            format!("the authorization server of grant `{name}` cannot be used"),
            error,
        )
    })?;
    Ok(Parts {
        settings: section.clone(),
        issuer: Arc::new(issuer),
        store,
        holder: holder.clone(),
    })
}
