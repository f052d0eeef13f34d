export { type Address, type Config, readConfig, type SettingName } from './config.ts';
export { type Setting, settings } from './settings.ts';
