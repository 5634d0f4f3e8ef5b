export { type ChainSigner, type Deployment, deployAnchorLog, keySigner, startAnchoring } from './anchor/index.ts'
export { type AnchorConfig, type Config, loadConfig } from './config.ts'
export { SERVICE_CODES, type ServiceCode, StartError } from './errors.ts'
export { type Service, startService } from './service.ts'
