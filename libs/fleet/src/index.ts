export type {
  FactoryIdentity, RefusedConnection, RegistrationLedger, RegistrationRecord, Supplier, SupplierLedger,
} from './ports.ts';
export { EcuPace } from './ecu-pace.ts';
export { Refusals } from './refusals.ts';
export { checkSupplierCa } from './supplier-ca.ts';
export { factoryIdentity } from './factory-identity.ts';
export { type Admission, FirstConnection, type FirstConnectionDeps } from './first-connection.ts';
