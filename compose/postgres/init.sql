-- What a new cluster gets beyond the database itself: the service's role and the one that reads statistics. Run once, by
-- the superuser, in POSTGRES_DB; Compose and Kubernetes use this same file. Tables are not made here: the service's
-- migrations do that, as the service's role.

\set ON_ERROR_STOP on
\getenv role DB_USER
\getenv password DB_PASSWORD
\getenv exporter_password EXPORTER_PASSWORD

-- No superuser, no right to make roles or databases. It owns this database and so (PostgreSQL 15 and later) its schema
-- `public`: enough for migrations. A variable that is not set is a syntax error here, which stops the first start.
CREATE ROLE :"role" LOGIN PASSWORD :'password';
ALTER DATABASE :"DBNAME" OWNER TO :"role";

-- By default every role may connect to every database and use temporary tables there.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;

-- Statistics only, for Prometheus. Without a password for it there is no such role.
\if :{?exporter_password}
  CREATE ROLE exporter LOGIN PASSWORD :'exporter_password' CONNECTION LIMIT 5;
  GRANT pg_monitor TO exporter;
  GRANT CONNECT ON DATABASE :"DBNAME" TO exporter;
\endif
