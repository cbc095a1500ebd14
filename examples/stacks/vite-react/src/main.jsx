import { createRoot } from 'react-dom/client';

const api = import.meta.env.VITE_API_URL ?? 'nowhere';

createRoot(document.getElementById('root')).render(<p>vite, with the API at {api}</p>);
