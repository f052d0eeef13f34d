export type {
  FactoryIdentity, RefusedConnection, RegistrationLedger, RegistrationRecord, Supplier, SupplierLedger,
} from './ports.ts';
