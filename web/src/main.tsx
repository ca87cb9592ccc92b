import { render } from 'preact';
import { App } from './app.js';
import { Connection } from './connection.js';
import { PageContext } from './hooks.js';
import { Model } from './model.js';
import './style.css';

const model = new Model();
const connection = new Connection(model);
connection.open();

render(
  <PageContext.Provider value={{ model, connection }}>
    <App />
  </PageContext.Provider>,
  document.getElementById('page') as HTMLElement,
);
