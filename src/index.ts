/** The public SDK of mipha-edge. Schemas of what it says over MQTT: `mipha-edge/messages`. */
export type { Finish, PixelFormat } from './addon/addon.js';
export type { CameraState, CameraStatus } from './camera/camera.js';
export type { Frame } from './camera/frame.js';
export { OpenCamera, type OpenCameraOptions, openCamera } from './camera/open.js';
export type { Answer, AnswerOptions, AskOptions, SchemaOptions } from './engine/answer.js';
export type { AnswerStream } from './engine/answer-stream.js';
export type { AnswerType } from './engine/answer-type.js';
export type { Answers, QuestionSpec } from './engine/asker.js';
export type { CallOptions } from './engine/call.js';
export type { Conversation } from './engine/conversation.js';
export type { ImageInput, RawImage } from './engine/image.js';
export type { JsonSchema } from './engine/json-schema.js';
export { type Backend, type LoadOptions, type LookOptions, Mipha, type MiphaStatus, type PassedOver } from './engine/mipha.js';
export type { Turn } from './engine/prompt.js';
export type { View } from './engine/view.js';
export type { ErrorDetails } from './error-details.js';
export { type ErrorCode, errorCodes, MiphaError, type MiphaErrorOf } from './errors.js';
export { samplePicture, shippedModel } from './shipped.js';
