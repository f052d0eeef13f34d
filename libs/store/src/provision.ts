import { Client } from 'pg';
import { PkiError, Secret } from '@fleetroot/core';

export interface ProvisionOptions {
  /** URL of a superuser, or of a role that may create roles and databases. */
  readonly adminUrl: Secret;
  /** Of the role `fleetroot`, from now on. */
  readonly password: Secret;
  /** Of the role `fleetroot_status`, from now on. */
  readonly statusPassword: Secret;
}

export interface Provisioned {
  /** The ledger's owner, who migrates it; it may also make schemas, such as the queue's. */
  readonly databaseUrl: Secret;
  /** May only SELECT, and only what status is made of. */
  readonly statusDatabaseUrl: Secret;
}

const DATABASE = 'fleetroot';

/**
 * Makes the database `fleetroot` and its two roles where they are missing, and sets their passwords. Again: changes
 * nothing but the passwords.
 * @throws PkiError `setup.failed`
 */
export async function provision({ adminUrl, password, statusPassword }: ProvisionOptions): Promise<Provisioned> {
  const client = new Client({ connectionString: adminUrl.reveal(), connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // PostgreSQL hashes a clear password where it arrives; statements with one are never logged (log_statement none).
    await putRole(client, 'fleetroot', password);
    await putRole(client, 'fleetroot_status', statusPassword);
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE} OWNER fleetroot ENCODING 'UTF8' TEMPLATE template0`);
    await client.query(`REVOKE ALL ON DATABASE ${DATABASE} FROM PUBLIC`);
    await client.query(`GRANT CONNECT ON DATABASE ${DATABASE} TO fleetroot_status`);
  } catch (cause) {
    throw new PkiError('setup.failed', `the database and its roles could not be made: ${(cause as Error).message}`, { cause });
  } finally {
    await client.end().catch(() => undefined);
  }
  return { databaseUrl: urlOf(adminUrl, 'fleetroot', password), statusDatabaseUrl: urlOf(adminUrl, 'fleetroot_status', statusPassword) };
}

async function putRole(client: Client, role: string, password: Secret): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
  if (rowCount === 0) await client.query(`CREATE ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE`);
  await client.query(`ALTER ROLE ${role} PASSWORD ${client.escapeLiteral(password.reveal())}`);
}

function urlOf(adminUrl: Secret, role: string, password: Secret): Secret {
  const url = new URL(adminUrl.reveal());
  url.username = role;
  url.password = encodeURIComponent(password.reveal());
  url.pathname = `/${DATABASE}`;
  return new Secret(url.href);
}
